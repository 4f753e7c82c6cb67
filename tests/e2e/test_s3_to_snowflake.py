"""Files from S3 to Snowflake: every row once in the table, every object in exactly one place."""

from __future__ import annotations

from collections import Counter

import pytest

from stack import landing

pytestmark = pytest.mark.versions

DAG = "s3_to_snowflake"


@pytest.fixture(scope="module")
def files(stack):
    """Land the files, and make the table and the stage that wait for them."""
    # The first four days are enough here: the demo and a test on a real gateway load all 93 files.
    every = landing.split(stack.project / "include" / "data" / "flights-2013-01.csv.gz")
    files = {key: body for key, body in every.items() if key < "landing/20130105"}
    assert len(files) == 12
    landing.prepare(stack.s3.client(), stack.snowflake)
    landing.land(stack.s3.client(), files)
    return files


def bucket(stack):
    """Return what the bucket holds, by key."""
    return stack.s3.objects(landing.BUCKET)


def processed(files):
    return {key.replace("landing/", "processed/"): body for key, body in files.items()}


def rows_by_file(files):
    """Return the rows of each origin and day, as the files have them."""
    return {(key[-7:-4], int(key[14:16])): body.count(b"\n") - 1 for key, body in files.items()}


def table(stack):
    rows = stack.snowflake.sql("SELECT origin, day, count(*) FROM flights GROUP BY origin, day")
    return {(origin, day): count for origin, day, count in rows}


def trigger(stack, prefix):
    airflow = stack.airflow
    airflow.wait_for_dag(DAG)
    airflow.unpause(DAG)
    run_id = airflow.trigger(DAG, conf={"prefix": prefix, "aws_conn_id": stack.s3_connection})
    return run_id, airflow.wait(DAG, run_id, seconds=400)


def states(stack, run_id):
    return Counter(
        (i["task_id"].removeprefix("flights."), i["state"]) for i in stack.airflow.instances(DAG, run_id)
    )


def test_every_file_is_loaded_once_and_moved_whole_and_a_second_run_does_nothing(stack, files):
    # One file is broken, in its third line: it stays, and the others go on.
    broken = "landing/20130103/JFK.csv"
    lines = files[broken].splitlines(keepends=True)
    landing.land(stack.s3.client(), {broken: b"".join([*lines[:2], b"2013,January,3\n", *lines[2:]])})

    # Of another, which is empty yet, Snowflake says nothing; the table has loaded its namesake of another stage.
    silent = "landing/20130104/HPN.csv"
    late = {silent: files["landing/20130104/EWR.csv"].replace(b"EWR", b"HPN")}
    landing.land(stack.s3.client(), {silent: b"", silent.replace("landing", "landing_eu"): late[silent]})
    stack.snowflake.sql(f"CREATE STAGE landing_eu URL = 's3://{landing.BUCKET}/landing_eu/'")
    stack.snowflake.sql(
        "COPY INTO flights FROM @landing_eu/ FILES = ('20130104/HPN.csv') "
        "FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 NULL_IF = ('NA'))"
    )
    stack.snowflake.sql("DELETE FROM flights")
    stack.s3.client().delete_object(Bucket=landing.BUCKET, Key=silent.replace("landing", "landing_eu"))

    run_id, state = trigger(stack, "landing/")
    assert state == "failed"
    assert states(stack, run_id) == {
        ("list", "success"): 1,
        ("file.load", "success"): 11,
        ("file.load", "failed"): 2,
        ("file.move", "success"): 11,
        ("file.move", "upstream_failed"): 2,
        ("loaded", "success"): 1,
        ("transform", "success"): 1,
    }
    loads = stack.airflow.instances(DAG, run_id, "flights.file.load")
    logs = "".join(
        stack.airflow.log(DAG, run_id, "flights.file.load", i["map_index"])
        for i in loads
        if i["state"] == "failed"
    )
    assert broken in logs
    assert "line 3" in logs
    assert f"{silent}': Snowflake said nothing of it" in logs
    assert {i["rendered_map_index"] for i in loads} - {None} >= set(files) - {broken}
    good = {key: body for key, body in files.items() if key != broken}
    assert table(stack) == rows_by_file(good)
    left = bucket(stack)
    assert left.pop(silent) == b""
    assert {key: body for key, body in left.items() if key != broken} == processed(good)

    # The files are mended, and a run takes what is there: just those two.
    landing.land(stack.s3.client(), {broken: files[broken], **late})
    files |= late
    run_id, state = trigger(stack, "landing/")
    assert state == "success"
    assert states(stack, run_id)["file.load", "success"] == 2
    assert table(stack) == rows_by_file(files)
    assert bucket(stack) == processed(files)
    days = stack.snowflake.sql("SELECT origin, day, flights FROM flights_by_day")
    assert {(origin, day): flights for origin, day, flights in days} == rows_by_file(files)

    run_id, state = trigger(stack, "landing/")
    assert state == "success"
    assert {state for (_, state) in states(stack, run_id)} == {"skipped"}
    assert table(stack) == rows_by_file(files)
    assert bucket(stack) == processed(files)
