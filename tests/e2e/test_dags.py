"""The other example DAGs run as they are."""

from __future__ import annotations

import csv
import json
from collections import Counter

import duckdb
import pytest

pytestmark = pytest.mark.versions


def test_every_dag_file_can_be_imported(stack):
    # What two files share declares no DAG itself.
    files = {str(path) for path in (stack.project / "dags").glob("*.py") if "_shared" not in path.name}

    def parsed():
        return files <= {row["fileloc"] for row in stack.postgres.query("SELECT fileloc FROM dag")}

    stack.processes.wait("The first parsing of all DAG files", parsed, seconds=90)
    assert stack.airflow.import_errors() == []


def test_gapminder_combines_countries_known_at_run_time_with_years(stack, tmp_path):
    run_id = stack.tested("gapminder_countries", target=str(tmp_path / "lake"))

    with (stack.project / "include" / "data" / "gapminder.csv").open(newline="") as file:
        expected = {
            (row["country"], int(row["year"])): int(row["pop"])
            for row in csv.DictReader(file)
            if row["continent"] == "Oceania"
        }
    labels = [i["rendered_map_index"] for i in stack.airflow.instances("gapminder_countries", run_id, "load")]
    assert labels == [f"{country} {year}" for country, year in sorted(expected)]
    rows = duckdb.execute(
        "SELECT country, year, population FROM read_parquet($glob, hive_partitioning = true)",
        {"glob": f"{tmp_path}/lake/**/*.parquet"},
    ).fetchall()
    assert {(country, int(year)): population for country, year, population in rows} == expected
    assert len(expected) == 24


def test_virtual_environments_work_on_partitions_of_their_own(stack):
    run_id = stack.tested("delays_virtualenv")

    source = stack.project / "include" / "data" / "flights-2013-01.csv.gz"
    expected = duckdb.execute(
        """
        SELECT origin, carrier, count(*), round(avg(arr_delay), 1) FROM read_csv($path, nullstr = 'NA')
        WHERE carrier IN ('B6', 'DL', 'UA') GROUP BY ALL ORDER BY ALL
        """,
        {"path": str(source)},
    ).fetchall()
    instances = stack.airflow.instances("delays_virtualenv", run_id, "mean_delay")
    assert [i["rendered_map_index"] for i in instances] == [
        f"{origin} {carrier}" for origin, carrier, *_ in expected
    ]
    found = [stack.airflow.xcom("delays_virtualenv", run_id, "mean_delay", index) for index in range(9)]
    assert [tuple(f.values()) for f in found] == expected
    made = Counter(path.name for path in (stack.airflow.home / "venvs").iterdir() if path.is_dir())
    assert sum(made.values()) == 1


def test_models_are_trained_one_by_one_and_the_best_of_those_that_succeeded_is_chosen(stack, tmp_path):
    airflow = stack.airflow
    models = [
        {"model": "linear_model.Ridge"},
        {"model": "linear_model.NoSuchModel"},
        {"model": "dummy.DummyRegressor", "strategy": "median"},
    ]
    run_id = stack.tested("train_models", models=models, target=str(tmp_path / "models"))

    chosen = airflow.xcom("train_models", run_id, "choose")
    assert chosen["best"]["partition"] == models[0]
    assert [entry["partition"] for entry in chosen["ranking"]] == [models[0], models[2]]
    assert chosen["failed"] == ["model=linear_model.NoSuchModel"]
    trained = airflow.instances("train_models", run_id, "model.train")
    assert [i["state"] for i in trained] == ["success", "failed", "success"]
    saved = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert saved == [
        "models/model=dummy.DummyRegressor/strategy=median/model.joblib",
        "models/model=linear_model.Ridge/model.joblib",
    ]


def test_a_table_of_a_warehouse_has_all_partitions_of_a_run_at_once_and_those_of_others_stay(stack):
    def loaded(start, end, *origins):
        conf = {"mode": "custom", "start_date": start, "end_date": end, "origin": list(origins)}
        run_id = stack.tested("flights_warehouse", **conf)
        return stack.airflow.xcom("flights_warehouse", run_id, "publish_load")["published"]

    assert loaded("2013-01-01", "2013-01-02", "EWR", "JFK")["replaced_rows"] == 0
    assert loaded("2013-01-02", "2013-01-03", "EWR")["replaced_rows"] > 0
    expected = duckdb.execute(
        """
        SELECT origin, day, carrier, count(*), round(avg(arr_delay), 1) FROM read_csv($path, nullstr = 'NA')
        WHERE (origin, day) IN (('EWR', 1), ('EWR', 2), ('EWR', 3), ('JFK', 1), ('JFK', 2)) GROUP BY ALL ORDER BY ALL
        """,
        {"path": str(stack.project / "include" / "data" / "flights-2013-01.csv.gz")},
    ).fetchall()
    query = "SELECT origin, extract(day FROM date)::int, carrier, flights, mean_delay::float FROM flights_by_carrier"
    assert stack.warehouse(f"{query} ORDER BY 1, 2, 3") == expected
    assert stack.warehouse(
        "SELECT relname FROM pg_class WHERE relname LIKE 'mapping_kit_%' AND relkind = 'r'"
    ) == [("mapping_kit_published",)]


def test_only_the_partitions_that_changed_are_followed_and_until_then_they_are_stale(stack, mapping_kit):
    airflow = stack.airflow
    airflow.wait_for_dag("carrier_delays")
    airflow.unpause("carrier_delays")

    def followed(days, origins, number):
        """Load some partitions; return what the run of the other DAG that this starts works on."""
        conf = {"mode": "custom", "start_date": days[0], "end_date": days[-1], "origin": origins}
        stack.run("carrier_flights", conf=conf)

        def started():
            return len(airflow.runs("carrier_delays")) == number

        stack.processes.wait("The run that follows", started, seconds=120)
        run_id = airflow.runs("carrier_delays")[-1]["run_id"]
        assert airflow.wait("carrier_delays", run_id) == "success"
        return sorted(i["rendered_map_index"] for i in airflow.instances("carrier_delays", run_id, "reckon"))

    days = ["2013-01-01", "2013-01-02"]
    assert followed(days, ["EWR", "JFK"], 1) == [
        f"{origin} {day}" for origin in ("EWR", "JFK") for day in days
    ]
    assert followed(days[1:], ["LGA"], 2) == ["LGA 2013-01-02"]

    expected = duckdb.execute(
        """
        SELECT carrier, count(*), round(avg(arr_delay), 1) FROM read_csv($path, nullstr = 'NA')
        WHERE origin = 'LGA' AND month = 1 AND day = 2 GROUP BY ALL ORDER BY ALL
        """,
        {"path": str(stack.project / "include" / "data" / "flights-2013-01.csv.gz")},
    ).fetchall()
    found = duckdb.execute(
        "SELECT * FROM read_parquet($path, hive_partitioning = false)",
        {"path": str(stack.project / "include/lake/carrier_delays/date=2013-01-02/origin=LGA/*.parquet")},
    ).fetchall()
    assert found == expected

    # What nobody follows for a while.
    stack.airflow.postgres.query(
        "UPDATE dag SET is_paused = true WHERE dag_id = 'carrier_delays' RETURNING 1", []
    )
    stack.run(
        "carrier_flights",
        conf={"mode": "custom", "start_date": days[0], "end_date": days[0], "origin": ["EWR"]},
    )
    status, text, _ = mapping_kit("partitions", "carrier_delays", "--output", "json")
    answer = json.loads(text)
    stale = [one["key"] for one in answer["partitions"] if one["state"] == "stale"]
    assert (status, stale) == (0, ["date=2013-01-01/origin=EWR"])
    assert answer["states"] == {"stale": 1, "loaded": 4}
