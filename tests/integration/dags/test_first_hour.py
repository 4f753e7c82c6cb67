"""The steps of the tutorial, on the real flights: what each loads, and what the page says of it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[3]
STEPS = ROOT / "docs" / "start" / "first_hour"


@pytest.fixture(scope="module")
def flights():
    """How many flights of January 2013 there are, by day, and by day and origin."""
    with gzip.open(ROOT / "include" / "data" / "flights-2013-01.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    days = [f"2013-01-{int(row['day']):02}" for row in rows]
    return Counter(days) + Counter((day, row["origin"]) for day, row in zip(days, rows, strict=True))


@pytest.fixture
def step(tmp_path, dag_test):
    """Return a function that runs a step's DAG, in a project of its own, as a reader would have it."""
    (tmp_path / "include").mkdir()
    for name in ("data", "sql"):
        (tmp_path / "include" / name).symlink_to(ROOT / "include" / name)
    (tmp_path / "dags").mkdir()

    def run(name, dag, **options):
        file = shutil.copy(STEPS / f"{name}.py", tmp_path / "dags" / "my_flights.py")
        spec = importlib.util.spec_from_file_location(f"first_hour_{name}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made = getattr(module, dag)()
        made.dag_id = f"first_hour_{name}_{tmp_path.name}"
        return dag_test(made, **options)

    run.lake = tmp_path / "include" / "lake" / "first_hour"
    return run


def chosen(first, last, **more):
    return {"mode": "custom", "start_date": first, "end_date": last, **more}


def loaded(lake):
    return {path.stem: len(path.read_text().splitlines()) - 1 for path in lake.glob("*.csv")}


def test_the_daily_dag_loads_its_day(step, flights):
    import pendulum

    step("flights_daily", "flights_daily", logical_date=pendulum.datetime(2013, 1, 5))
    assert loaded(step.lake) == {"2013-01-05": flights["2013-01-05"]}


def test_its_copy_loads_a_range_in_one_task(step, flights):
    instances = step(
        "flights_reload_days",
        "flights_reload_days",
        run_conf={"from_day": "2013-01-05", "to_day": "2013-01-07"},
    )
    assert list(instances) == [("load", -1)]
    assert loaded(step.lake) == {day: flights[day] for day in ("2013-01-05", "2013-01-06", "2013-01-07")}


@pytest.mark.parametrize(
    ("name", "labels"),
    [("step_1", []), ("step_2", ["2013-01-01", "2013-01-02", "2013-01-03"])],
)
def test_one_dag_loads_each_day_in_an_instance_of_its_own(step, flights, name, labels):
    instances = step(name, "flights", run_conf=chosen("2013-01-01", "2013-01-03"))
    # Without a template Airflow 3 shows the number.
    named = [instances["load", index].rendered_map_index for index in range(3)]
    assert [label for label in named if str(label).startswith("2013")] == labels
    assert loaded(step.lake) == {day: flights[day] for day in ("2013-01-01", "2013-01-02", "2013-01-03")}


def test_the_fan_in_says_of_two_days_what_the_page_says(step, flights, caplog):
    instances = step("step_3", "flights", run_conf=chosen("2013-01-30", "2013-02-02"))
    assert [instances["load", index].state for index in range(4)] == ["success"] * 2 + ["failed"] * 2
    whole = {day: flights[day] for day in ("2013-01-30", "2013-01-31")}
    # What the next step is for.
    assert loaded(step.lake) == whole | {"2013-02-01": -1, "2013-02-02": -1}
    assert (STEPS / "report.txt").read_text() in caplog.text


def test_the_operator_loads_two_dimensions(step, flights):
    instances = step("step_4", "flights", run_conf=chosen("2013-01-01", "2013-01-03", origin=["EWR", "LGA"]))
    assert {instances["load", index].rendered_map_index for index in range(6)} == {
        f"{origin} 2013-01-0{day}" for origin in ("EWR", "LGA") for day in (1, 2, 3)
    }
    found = {
        (f"2013-01-0{day}", origin): duckdb.sql(
            f"SELECT count(*) FROM '{step.lake}/date=2013-01-0{day}/origin={origin}/data_0.parquet'"
        ).fetchone()[0]
        for origin in ("EWR", "LGA")
        for day in (1, 2, 3)
    }
    assert found == {key: flights[key] for key in found}
