"""The main job: one DAG loads any range of partitions, in parallel, each of them named."""

from __future__ import annotations

import json
import urllib.parse
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from instances import by_place, started_again

ORIGINS = ["EWR", "JFK", "LGA"]


@pytest.fixture(scope="module")
def source(stack):
    """Return the number of flights of each origin and day in the source."""
    path = stack.project / "include" / "data" / "flights-2013-01.csv.gz"
    rows = duckdb.execute(
        """
        SELECT origin, make_date(year, month, day)::VARCHAR, count(*)
        FROM read_csv($path, nullstr = 'NA') GROUP BY ALL
        """,
        {"path": str(path)},
    ).fetchall()
    return {(origin, date): count for origin, date, count in rows}


class Lake:
    """What is in the bucket: every object by key, and the rows of every partition."""

    def __init__(self, stack, folder):
        client = stack.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=stack.bucket)
        self.objects = {o["Key"]: o["LastModified"] for page in pages for o in page.get("Contents", ())}
        stack.s3.copy_to(stack.bucket, folder)
        self.files = {key: (folder / key).read_bytes() for key in self.objects}
        self.rows = {
            (origin, date): count
            for origin, date, count in duckdb.execute(
                """
                SELECT origin, date::VARCHAR, count(*)
                FROM read_parquet($glob, hive_partitioning = true) GROUP BY ALL
                """,
                {"glob": f"{folder}/flights/**/*.parquet"},
            ).fetchall()
        }


def conf(stack, **reload):
    return {
        "target": f"s3://{stack.bucket}/flights",
        "aws_conn_id": stack.s3_connection,
        "mode": "custom",
        **reload,
    }


def key_of(origin, day):
    return f"flights/date={day}/origin={origin}/data_0.parquet"


def test_of_30_partitions_the_3_that_failed_are_named_and_alone_loaded_again_and_then_in_part(
    stack, source, mapping_kit, tmp_path
):
    airflow, days = stack.airflow, [f"2013-01-{day:02}" for day in range(1, 11)]
    everything = {piece for piece in source if piece[1] in days}
    broken = {("EWR", "2013-01-05"), ("LGA", "2013-01-05"), ("LGA", "2013-01-10")}

    def refused(request):
        wanted = urllib.parse.unquote(request.path)
        writes = request.kind in {"PUT", "POST"} and any(key_of(*piece) in wanted for piece in broken)
        return "403" if writes else None

    stack.proxy.reset()
    stack.proxy.before = refused
    airflow.wait_for_dag("flights_reload")
    airflow.unpause("flights_reload")
    ten_days = conf(stack, start_date=days[0], end_date=days[-1])
    run_id = airflow.trigger("flights_reload", conf=ten_days)
    assert airflow.wait("flights_reload", run_id, seconds=400) == "failed"

    instances = airflow.instances("flights_reload", run_id, "load")
    assert [i["rendered_map_index"] for i in instances] == [f"{o} {d}" for o in ORIGINS for d in days]
    assert Counter(i["state"] for i in instances) == {"success": 27, "failed": 3}
    assert airflow.most_at_once("flights_reload", run_id, "load") > 2
    assert Lake(stack, tmp_path / "in_part").rows.keys() == everything - broken

    status, text, _ = mapping_kit("status", "flights_reload", "latest", "--failed", "--output", "json")
    assert status == 1
    (told,) = json.loads(text)["tasks"]
    assert told["states"] == {"success": 27, "failed": 3}
    assert {row["label"] for row in told["results"]} == {f"{origin} {day}" for origin, day in broken}
    assert all("SignatureDoesNotMatch" in row["error"]["message"] for row in told["results"])

    before = by_place(airflow.instances("flights_reload", run_id))
    status, text, _ = mapping_kit("retry", "flights_reload", run_id, "--dry-run", "--output", "json")
    assert status == 0
    would = {(one["task"], one["map_index"]) for one in json.loads(text)["would_be_cleared"]}
    assert would == {("load", 4), ("load", 24), ("load", 29), ("collect_load", -1)}
    assert by_place(airflow.instances("flights_reload", run_id)) == before

    stack.proxy.reset()
    status, text, errors = mapping_kit("retry", "flights_reload", run_id, "--yes")
    assert (status, errors) == (0, "")
    assert "4 instances cleared" in text
    assert airflow.wait("flights_reload", run_id) == "success"
    assert started_again(before, by_place(airflow.instances("flights_reload", run_id))) == would
    assert airflow.xcom("flights_reload", run_id, "collect_load")["succeeded"] == 30
    assert mapping_kit("status", "flights_reload", run_id)[0] == 0
    lake = Lake(stack, tmp_path / "whole")
    assert lake.rows == {piece: source[piece] for piece in everything}
    assert set(lake.files) == {key_of(*piece) for piece in everything}

    # A reload of three days of one origin replaces just those, and nothing of what they hold has changed.
    part = conf(stack, start_date="2013-01-05", end_date="2013-01-07", origin=["JFK"])
    run_id = stack.run("flights_reload", conf=part)
    again = Lake(stack, tmp_path / "again")
    assert [i["rendered_map_index"] for i in airflow.instances("flights_reload", run_id, "load")] == [
        "JFK 2013-01-05",
        "JFK 2013-01-06",
        "JFK 2013-01-07",
    ]
    assert again.files == lake.files
    replaced = {key for key, modified in again.objects.items() if modified != lake.objects[key]}
    assert replaced == {key_of("JFK", f"2013-01-0{day}") for day in (5, 6, 7)}


@pytest.mark.versions
def test_a_second_run_into_a_local_directory_changes_nothing(stack, source, tmp_path):
    conf = {
        "mode": "custom",
        "start_date": "2013-01-01",
        "end_date": "2013-01-04",
        "target": str(tmp_path / "lake"),
    }

    def files():
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    stack.run("flights_reload", conf=conf)
    first = files()
    stack.run("flights_reload", conf=conf)
    assert files() == first
    assert len(first) == 12
    rows = duckdb.execute(
        "SELECT origin, date::VARCHAR, count(*) FROM read_parquet($glob, hive_partitioning = true) GROUP BY ALL",
        {"glob": f"{tmp_path}/lake/**/*.parquet"},
    ).fetchall()
    assert {(o, d): n for o, d, n in rows} == {key: n for key, n in source.items() if key[1] <= "2013-01-04"}


@pytest.mark.versions
def test_a_scheduled_run_loads_its_own_day(stack, source):
    airflow = stack.airflow
    airflow.wait_for_dag("scheduled_flights")
    airflow.unpause("scheduled_flights")

    def runs():
        found = airflow.runs("scheduled_flights")
        return found if len(found) == 2 and all(r["state"] in ("success", "failed") for r in found) else None

    first, second = stack.processes.wait("The end of both scheduled runs", runs, seconds=180)
    for run, day in ((first, "2013-01-01"), (second, "2013-01-02")):
        assert (run["run_type"], run["state"]) == ("scheduled", "success")
        instances = airflow.instances("scheduled_flights", run["run_id"], "load")
        assert [i["rendered_map_index"] for i in instances] == [f"{origin} {day}" for origin in ORIGINS]
        results = [airflow.xcom("scheduled_flights", run["run_id"], "load", index) for index in range(3)]
        assert [r["rows"] for r in results] == [source[origin, day] for origin in ORIGINS]
        assert all(Path(r["path"]).stat().st_size == r["bytes"] for r in results)


@pytest.mark.versions
def test_what_is_missing_from_the_lake_is_loaded(stack, source, tmp_path):
    lake = tmp_path / "lake"

    def loaded(**conf):
        dates = {"mode": "custom", "start_date": "2013-01-30", "end_date": "2013-01-31"}
        run_id = stack.tested("flights_gaps", **dates, only="missing", target=str(lake), **conf)
        return [i["rendered_map_index"] for i in stack.airflow.instances("flights_gaps", run_id, "load")]

    # There was no lake, so all that was selected was missing.
    assert loaded(select="origin=JFK date=2013-01-31") == ["JFK 2013-01-31"]
    assert loaded(origin=["EWR", "JFK"]) == ["EWR 2013-01-30", "EWR 2013-01-31", "JFK 2013-01-30"]
    rows = duckdb.execute(
        "SELECT origin, date::VARCHAR, count(*) FROM read_parquet($glob, hive_partitioning = true) GROUP BY ALL",
        {"glob": f"{lake}/**/*.parquet"},
    ).fetchall()
    assert {(o, d): n for o, d, n in rows} == {
        (o, d): source[o, d] for o in ("EWR", "JFK") for d in ("2013-01-30", "2013-01-31")
    }


@pytest.mark.versions
def test_a_worker_knows_what_failed_last_time(stack):
    airflow = stack.airflow
    airflow.wait_for_dag("failed_last_time")
    airflow.unpause("failed_last_time")

    def loaded(**conf):
        dates = {"mode": "custom", "start_date": "2013-01-30", "end_date": "2013-01-30"}
        run_id = airflow.trigger("failed_last_time", conf={**dates, **conf})
        assert airflow.wait("failed_last_time", run_id) == "failed"
        return [i["rendered_map_index"] for i in airflow.instances("failed_last_time", run_id, "load")]

    assert loaded() == ["EWR 2013-01-30", "JFK 2013-01-30"]
    assert loaded(only="failed") == ["JFK 2013-01-30"]
