"""The DAG flights_rows on the real flights of a month."""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_flight_of_the_file_is_looked_at_once(dag_test):
    spec = importlib.util.spec_from_file_location("flights_rows", ROOT / "dags" / "flights_rows.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    instances = dag_test(module.flights_rows())

    with gzip.open(ROOT / "include" / "data" / "flights-2013-01.csv.gz", "rt", newline="") as file:
        flights = list(csv.DictReader(file))
    late = Counter(
        row["carrier"] for row in flights if row["arr_delay"] != "NA" and int(row["arr_delay"]) >= 180
    )
    assert instances["count", -1].xcom_pull(task_ids="count") == {
        "flights": len(flights),
        "left out": sum(row["arr_delay"] == "NA" for row in flights),
        "late": dict(late),
    }
    assert [instances["look", index].rendered_map_index[:25] for index in (0, 5)] == [
        "items 1–5,000 of 27,004: ",
        "items 25,001–27,004 of 27",
    ]
