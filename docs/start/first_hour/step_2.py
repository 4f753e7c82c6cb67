from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pendulum
from airflow.decorators import dag, task

from airflow_mapping_kit.labels import label
from airflow_mapping_kit.reload import reload_params, reload_partitions

INCLUDE = Path(__file__).resolve().parents[1] / "include"


def write_day(day: str) -> int:
    with gzip.open(INCLUDE / "data" / "flights-2013-01.csv.gz", "rt", newline="") as source:
        rows = [
            row
            for row in csv.DictReader(source)
            if f"{row['year']}-{row['month']:0>2}-{row['day']:0>2}" == day
        ]
    target = INCLUDE / "lake" / "first_hour" / f"{day}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


# [START dag]
@dag(schedule="@daily", start_date=pendulum.datetime(2013, 1, 1), catchup=False, params=reload_params())
def flights():
    @task(map_index_template=label("{date}"))
    def load(date):
        return write_day(date)

    load.expand_kwargs(reload_partitions())


# [END dag]


flights()
