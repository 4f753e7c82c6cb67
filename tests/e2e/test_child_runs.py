"""A run of another DAG per item, on a real scheduler and a real triggerer."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
from contextlib import contextmanager
from itertools import pairwise

import psycopg2
import pytest

from stack.airflow import AIRFLOW_3

LOCK = 20240101
SLOTS = 16
# The eleventh run of the child waits, before it is there, for a lock that the test holds.
HOLD_THE_ELEVENTH = f"""
CREATE FUNCTION hold_the_eleventh() RETURNS trigger AS $$
BEGIN
    IF (SELECT count(*) FROM dag_run WHERE dag_id = NEW.dag_id) = 10 THEN
        PERFORM pg_advisory_xact_lock({LOCK});
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER hold_the_eleventh BEFORE INSERT ON dag_run FOR EACH ROW
    WHEN (NEW.dag_id = 'child_that_counts') EXECUTE FUNCTION hold_the_eleventh()
"""
# To drop the trigger would lock the table, and lock up with a server that reads it while it writes to it.
HOLD_NONE = """
CREATE OR REPLACE FUNCTION hold_the_eleventh() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql
"""
MARK_FAILED = """
import json, sys
from airflow.models.serialized_dag import SerializedDagModel
dag_id, run_id, task_id = json.loads(sys.argv[1])
dag = SerializedDagModel.get_dag(dag_id)
print(dag.set_task_instance_state(task_id=task_id, run_id=run_id, state="failed", commit=True))
"""


def mark_failed(stack, *place):
    """Mark an instance failed as Airflow's UI does."""
    if not AIRFLOW_3:
        stack.airflow.command(json.dumps(place), program=["-c", MARK_FAILED])
        return
    stack.postgres.query(
        "UPDATE task_instance SET state = 'failed', trigger_id = NULL "
        "WHERE dag_id = %s AND run_id = %s AND task_id = %s RETURNING 1",
        place,
    )


@pytest.fixture(scope="module")
def airflow(stack):
    """Give Airflow with a triggerer and a pool that children and a parent share."""
    airflow = stack.airflow
    triggerer = airflow.start_triggerer()
    airflow.command("pools", "set", "shared", str(SLOTS), "what parents and children share")
    for dag_id in (
        "child_that_counts",
        "child_one_by_one",
        "parent_in_the_pool_of_its_children",
        "parent_that_retries",
        "parent_of_one_by_one",
        "parent_by_airflow",
    ):
        airflow.wait_for_dag(dag_id)
        airflow.unpause(dag_id)
    yield airflow
    triggerer.end()


@pytest.fixture(autouse=True)
def no_runs_before(stack):
    """Forget the child runs of the test before."""
    yield
    stack.postgres.query("DELETE FROM dag_run WHERE dag_id IN ('child_that_counts', 'child_one_by_one')")


@contextmanager
def slots(stack, number):
    """Give the shared pool another number of slots."""
    resize = "UPDATE slot_pool SET slots = %s WHERE pool = 'shared'"
    stack.postgres.query(resize, [number])
    try:
        yield
    finally:
        stack.postgres.query(resize, [SLOTS])


@pytest.fixture
def children(stack):
    """Return a function that gives the runs of a DAG by run id."""

    def found(dag_id):
        rows = stack.postgres.query(
            "SELECT id, run_id, state, start_date, end_date, clear_number, conf FROM dag_run WHERE dag_id = %s",
            [dag_id],
        )
        conf = (lambda stored: stored) if AIRFLOW_3 else pickle.loads
        return {row["run_id"]: {**row, "conf": conf(row["conf"])} for row in rows}

    return found


def started(airflow, dag_id, items, **conf):
    return airflow.trigger(dag_id, conf={"items": items, **conf})


def times(folder):
    """Return how often each item was worked on."""
    return {file.name: len(file.read_text().splitlines()) for file in folder.iterdir()}


@contextmanager
def held(stack):
    """Hold up who starts the eleventh run of the child; give a function that lets go."""
    stack.postgres.query(HOLD_THE_ELEVENTH)
    connection = psycopg2.connect(stack.postgres.dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield
    finally:
        connection.close()
        stack.postgres.query(HOLD_NONE)


def wait_for_state(stack, airflow, dag_id, run_id, state, *, try_number=1):
    def there():
        (one,) = airflow.instances(dag_id, run_id, "ship")
        return one["state"] == state and one["try_number"] >= try_number and one

    return stack.processes.wait(f"{dag_id} {state}", there, seconds=120)


def test_more_children_of_two_parents_than_there_are_slots_end_and_stay_apart(airflow, children, tmp_path):
    names, items = ("one", "two"), list(range(SLOTS + 1))
    for name in names:
        (tmp_path / name).mkdir()
    ids = [started(airflow, "parent_that_retries", items, folder=str(tmp_path / name)) for name in names]
    assert [airflow.wait("parent_that_retries", run_id, seconds=360) for run_id in ids] == ["success"] * 2

    runs = children("child_that_counts")
    rows = [airflow.xcom("parent_that_retries", run_id, "ship") for run_id in ids]
    for name, of_parent in zip(names, rows, strict=True):
        assert [(row["key"], row["state"]) for row in of_parent] == [(f"item={n}", "success") for n in items]
        told = [runs[row["run_id"]]["conf"] for row in of_parent]
        assert [(conf["folder"], conf["item"]) for conf in told] == [(str(tmp_path / name), n) for n in items]
        assert times(tmp_path / name) == {str(n): 1 for n in items}
    assert len(runs) == 2 * len(items)
    assert {row["run_id"] for of_parent in rows for row in of_parent} == set(runs)


def test_children_of_a_dag_that_takes_one_run_at_a_time_go_one_by_one(airflow, children, tmp_path):
    run_id = started(airflow, "parent_of_one_by_one", ["a", "b", "c"], folder=str(tmp_path))
    assert airflow.wait("parent_of_one_by_one", run_id) == "success"
    assert times(tmp_path) == {"a": 1, "b": 1, "c": 1}
    runs = sorted(children("child_one_by_one").values(), key=lambda run: run["start_date"])
    assert all(one["end_date"] <= after["start_date"] for one, after in pairwise(runs))


def test_airflows_own_trigger_mapped_and_waiting_locks_up_where_its_instances_fill_the_slots(
    stack, airflow, children, tmp_path
):
    def states(dag_id):
        rows = stack.postgres.query(
            "SELECT state, count(*) AS n FROM task_instance WHERE dag_id = %s AND task_id IN ('ship', 'work') "
            "GROUP BY state",
            [dag_id],
        )
        return {row["state"]: row["n"] for row in rows}

    def heartbeat():
        query = "SELECT latest_heartbeat FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'"
        return stack.postgres.query(query)[0]["latest_heartbeat"]

    stuck = {"parent_by_airflow": {"running": 2, "scheduled": 2}, "child_that_counts": {"scheduled": 2}}

    def locked():
        return {dag_id: states(dag_id) for dag_id in stuck} == stuck

    with slots(stack, 2):
        run_id = started(airflow, "parent_by_airflow", ["a", "b", "c", "d"], folder=str(tmp_path))
        stack.processes.wait("The two slots are taken", locked, seconds=120)
        # The scheduler looks at it again and again, and there is nothing that it could do.
        for _ in range(2):
            last = heartbeat()
            stack.processes.wait("A heartbeat", lambda last=last: heartbeat() > last, seconds=60)
        assert locked()
        assert times(tmp_path) == {}
    # With slots for all it ends: they were what was missing.
    assert airflow.wait("parent_by_airflow", run_id) == "success"
    assert times(tmp_path) == dict.fromkeys("abcd", 1)


def test_a_parent_that_waits_leaves_the_only_slot_to_its_children(stack, airflow, tmp_path):
    items = ["a", "b", "c"]
    with slots(stack, 1):
        run_id = started(airflow, "parent_in_the_pool_of_its_children", items, folder=str(tmp_path))
        assert airflow.wait("parent_in_the_pool_of_its_children", run_id) == "success"
    assert times(tmp_path) == dict.fromkeys(items, 1)


@pytest.mark.versions
def test_a_parent_killed_in_the_middle_adopts_what_is_there_and_starts_none_twice(
    stack, airflow, children, tmp_path
):
    items = [f"n{n}" for n in range(15)]
    with held(stack):
        run_id = started(airflow, "parent_that_retries", items, folder=str(tmp_path))
        stack.processes.wait("Ten children", lambda: len(children("child_that_counts")) == 10, seconds=120)
        (instance,) = airflow.instances("parent_that_retries", run_id, "ship")
        os.kill(instance["pid"], signal.SIGKILL)
        wait_for_state(stack, airflow, "parent_that_retries", run_id, "up_for_retry")
        before = children("child_that_counts")
    assert airflow.wait("parent_that_retries", run_id) == "success"

    after = children("child_that_counts")
    (instance,) = airflow.instances("parent_that_retries", run_id, "ship")
    assert instance["try_number"] == 2
    assert (len(before), len(after)) == (10, 15)
    assert {one["id"] for one in before.values()} <= {one["id"] for one in after.values()}
    assert {one["clear_number"] for one in after.values()} == {0}
    assert sorted(one["conf"]["item"] for one in after.values()) == sorted(items)
    assert times(tmp_path) == dict.fromkeys(items, 1)
    rows = airflow.xcom("parent_that_retries", run_id, "ship")
    assert [(row["key"], row["state"]) for row in rows] == [(f"item={item}", "success") for item in items]
    log = airflow.log("parent_that_retries", run_id, "ship", try_number=2)
    # On Airflow 3 the eleventh is started by another process, which wasn't killed.
    to_start = "[45]" if AIRFLOW_3 else "5"
    assert re.search(
        rf"15 items, runs of child_that_counts: {to_start} to start, 0 failed ones to run again", log
    )


@pytest.mark.versions
def test_a_retry_runs_again_the_child_that_failed_alone(stack, airflow, children, tmp_path):
    run_id = started(airflow, "parent_that_retries", ["a", "broken", "b"], folder=str(tmp_path))
    wait_for_state(stack, airflow, "parent_that_retries", run_id, "deferred")
    assert airflow.wait("parent_that_retries", run_id) == "success"

    assert times(tmp_path) == {"a": 1, "broken": 2, "b": 1}
    assert {one["conf"]["item"]: one["clear_number"] for one in children("child_that_counts").values()} == {
        "a": 0,
        "broken": 1,
        "b": 0,
    }
    (instance,) = airflow.instances("parent_that_retries", run_id, "ship")
    tries = range(1, instance["try_number"] + 1)
    log = "".join(airflow.log("parent_that_retries", run_id, "ship", try_number=number) for number in tries)
    assert "1 of 3 runs of child_that_counts failed:\n1 × work failed\n  item=broken\n" in log
    rows = airflow.xcom("parent_that_retries", run_id, "ship")
    assert [row["state"] for row in rows] == ["success"] * 3


def test_the_children_of_a_cancelled_parent_go_on_and_are_adopted_when_it_is_cleared(
    stack, airflow, children, tmp_path
):
    with slots(stack, 0):
        run_id = started(airflow, "parent_that_retries", ["a", "b"], folder=str(tmp_path))
        wait_for_state(stack, airflow, "parent_that_retries", run_id, "deferred")
        trigger_log = airflow.log_path("parent_that_retries", run_id, "ship").parent

        def said():
            return "".join(file.read_text() for file in trigger_log.glob("*.trigger.*.log"))

        stack.processes.wait("The trigger", lambda: "0 of 2 runs" in said(), seconds=60)
        mark_failed(stack, "parent_that_retries", run_id, "ship")
        assert airflow.wait("parent_that_retries", run_id) == "failed"
        stack.processes.wait("The trigger's end", lambda: "The runs themselves go on" in said(), seconds=60)
        assert times(tmp_path) == {}

    before = children("child_that_counts")
    for child in before:
        assert airflow.wait("child_that_counts", child) == "success"
    assert times(tmp_path) == {"a": 1, "b": 1}
    dates = {one["id"]: one["start_date"] for one in children("child_that_counts").values()}

    airflow.clear("parent_that_retries", run_id, "ship")
    assert airflow.wait("parent_that_retries", run_id) == "success"
    assert {one["id"]: one["start_date"] for one in children("child_that_counts").values()} == dates
    assert times(tmp_path) == {"a": 1, "b": 1}
