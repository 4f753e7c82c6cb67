"""Every instance has its label while it waits, while it runs, after it was killed, and when its work is done."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict

import pytest
from airflow import settings
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from airflow_mapping_kit.compat import database, passing_connection, passing_session
from stack.airflow import AIRFLOW_3

pytestmark = pytest.mark.versions
DAG = "label_shapes"
EARLY = {
    "xcom": ["EWR 2013-01-01", "JFK 2013-01-01"],
    "kwargs": ["EWR of 2013-01-01", "JFK of 2013-01-01"],
    "zipped": ["EWR with 2013-01-01", "JFK with 2013-01-02"],
    "concatenated": ["old A", "old B", "2013-01-01", "2013-01-02"],
    "literals": ["literal a", "literal b"],
    "crossed": ["z x EWR", "z x JFK", "a x EWR", "a x JFK", "m x EWR", "m x JFK"],
    "batched": ["EWR … JFK"],
    "classic": ["EWR", "JFK"],
    "chained": ["from EWR", "from JFK"],
    "grouped.first": ["EWR", "JFK"],
}
# Known where the task runs: functions and templates are nothing for a scheduler.
FROM_RUNNING_ON = ("mapped", "templated")
OTHERS = ("unlabelled", "foreign")


def labels_of(stack, run_id):
    found = defaultdict(list)
    for instance in stack.airflow.instances(DAG, run_id):
        if instance["map_index"] >= 0:
            found[instance["task_id"]].append(instance["rendered_map_index"])
    return found


def states_of(stack, run_id, task_id):
    return [instance["state"] for instance in stack.airflow.instances(DAG, run_id, task_id)]


def test_instances_have_their_labels_at_all_times_and_those_of_other_tasks_are_as_without_the_kit(
    stack, tmp_path
):
    airflow, gate = stack.airflow, tmp_path / "gate"
    airflow.wait_for_dag(DAG)
    airflow.unpause(DAG)
    run_id = airflow.trigger(DAG, conf={"gate": str(gate)})
    waiting = [*EARLY, "inside", *FROM_RUNNING_ON, *OTHERS]
    stack.processes.wait(
        "One running instance of every shape",
        lambda: all("running" in states_of(stack, run_id, task_id) for task_id in waiting),
        seconds=180,
        every=0.5,
    )
    # The label of an instance that runs is written by its own process, once it has started.
    stack.processes.wait(
        "The labels of running instances that were not known before",
        lambda: [labels_of(stack, run_id)[task_id][0] for task_id in ("mapped", "templated", "inside")]
        == ["day 2013-01-01", str(gate), f"EWR {gate}"],
        seconds=60,
    )
    while_it_runs = labels_of(stack, run_id)
    assert {task_id: while_it_runs[task_id] for task_id in EARLY} == EARLY
    assert while_it_runs["mapped"] == ["day 2013-01-01", None]
    assert while_it_runs["templated"] == [str(gate), None]
    # The first runs and knows its arguments; the second waits, and has its key.
    assert while_it_runs["inside"] == [f"EWR {gate}", "date=2013-01-01/origin=JFK"]
    assert while_it_runs["unlabelled"] == [None, None]
    # Airflow 3 renders anybody's template when an instance starts, Airflow 2 when its work is done.
    assert while_it_runs["foreign"] == (["EWR!", None] if AIRFLOW_3 else [None, None])

    # The plan is made again, as that of one instance that waits and of none that runs.
    airflow.clear(DAG, run_id, "concatenated", map_index=1)
    airflow.clear(DAG, run_id, "turning")
    stack.processes.wait(
        "The label that an instance that waits has by the new plan",
        lambda: labels_of(stack, run_id)["concatenated"][:2] == ["old A", "new B"],
        seconds=60,
    )
    assert states_of(stack, run_id, "concatenated")[1] != "running"
    early = {**EARLY, "concatenated": ["old A", "new B", "2013-01-01", "2013-01-02"]}

    # An instance runs for a moment before it says in which process.
    killed = stack.processes.wait(
        "The process of a running instance",
        lambda: next(
            (i for i in airflow.instances(DAG, run_id, "xcom") if i["state"] == "running" and i["pid"]), None
        ),
        seconds=60,
    )
    os.kill(killed["pid"], signal.SIGKILL)
    stack.processes.wait(
        "The end of the killed instance",
        lambda: "failed" in states_of(stack, run_id, "xcom"),
        seconds=120,
        every=0.5,
    )
    # Airflow 3 deletes it, as the process that would name it is gone; when the run ends it is there again.
    nameless = {killed["map_index"]} if AIRFLOW_3 else set()
    assert labels_of(stack, run_id)["xcom"] == [
        None if index in nameless else label for index, label in enumerate(EARLY["xcom"])
    ]

    gate.touch()
    assert airflow.wait(DAG, run_id, seconds=240) == "failed"
    at_the_end = labels_of(stack, run_id)
    assert {task_id: at_the_end[task_id] for task_id in EARLY} == early
    assert at_the_end["inside"] == [f"EWR {gate}", f"JFK {gate}"]
    assert at_the_end["mapped"] == ["day 2013-01-01", "day 2013-01-02"]
    assert at_the_end["templated"] == [str(gate), "plain"]
    assert at_the_end["foreign"] == ["EWR!", "JFK!"]
    assert at_the_end["unlabelled"] == [None, None]
    failed = [i for i in airflow.instances(DAG, run_id) if i["state"] != "success"]
    assert [(i["task_id"], i["map_index"]) for i in failed] == [("xcom", killed["map_index"])]


class TestBesideAirflowsOwnWork:
    """What the kit looks up in a transaction of Airflow's own neither holds it up nor breaks it."""

    @pytest.fixture
    def engine(self, stack, monkeypatch):
        """Give a pool of one connection to the stack's PostgreSQL as Airflow's own, and short limits."""
        engine = create_engine(
            stack.postgres.sqlalchemy_url, pool_size=1, max_overflow=0, pool_timeout=60, future=True
        )
        monkeypatch.setattr(settings, "engine", engine)
        monkeypatch.setattr(settings, "Session", scoped_session(sessionmaker(engine, future=True)))
        limits = {"work": "200ms", "wait": "200ms"}
        monkeypatch.setitem(database._LIMITS, "postgresql", (*database._LIMITS["postgresql"][:2], limits))
        yield engine
        settings.Session.remove()
        engine.dispose()

    def test_it_needs_no_second_connection_and_leaves_the_settings_as_they_were(self, engine):
        session = settings.Session()
        session.execute(text("SET LOCAL statement_timeout = '77s'"))
        with passing_connection() as connection:
            assert connection.execute(text("SHOW statement_timeout")).scalar() == "200ms"
            assert connection.execute(text("SHOW lock_timeout")).scalar() == "200ms"
        assert session.execute(text("SHOW statement_timeout")).scalar() == "77s"
        assert session.execute(text("SHOW lock_timeout")).scalar() == "0"

    def test_a_statement_that_takes_too_long_ends_and_the_transaction_goes_on(self, engine):
        session = settings.Session()
        session.execute(text("CREATE TEMPORARY TABLE kept AS SELECT 1 AS n"))
        with pytest.raises(OperationalError, match="statement timeout"), passing_connection() as connection:
            connection.execute(text("SELECT pg_sleep(60)"))
        assert session.execute(text("SELECT n FROM kept")).scalar() == 1
        assert session.execute(text("SHOW statement_timeout")).scalar() == "0"
        session.rollback()

    def test_without_a_transaction_nobody_waits_for_a_connection(self, engine):
        with passing_session() as session:
            assert session.execute(text("SHOW statement_timeout")).scalar() == "200ms"
            begun = time.monotonic()
            with pytest.raises(PoolTimeoutError, match="in use"), passing_session():
                pass
            assert time.monotonic() - begun < 5
        with Session(engine) as session:
            assert session.execute(text("SHOW statement_timeout")).scalar() == "0"
