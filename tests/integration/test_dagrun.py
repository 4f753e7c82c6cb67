"""Child runs in a real database: which are started, adopted, run again or refused, and what is waited for.

What the scheduler does with a child run is written into the tables by the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import threading
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pendulum
import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.state import DagRunState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import airflows
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator, runs
from airflow_mapping_kit.operators.dagrun.plan import ChildRun
from airflows import (
    AIRFLOW_3,
    DAG,
    AirflowException,
    AirflowSkipException,
    AirflowTaskTerminated,
    EmptyOperator,
    Param,
    create_session,
    setup,
    task,
    task_group,
    teardown,
)

START = pendulum.datetime(2024, 1, 1)


TABLES_ONLY = pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 tells a task nothing of it")
# All that asks the database itself.
ASKING = {
    ("child", "of"),
    ("record", "_in_table"),
    *(
        ("in_tables", name)
        for name in (
            "states",
            "tally",
            "failed_tasks",
            "is_paused",
            "has_triggerer",
            "start",
            "restart",
        )
    ),
}


def synced(dag):
    """Let the database know a DAG that is not paused, as the DAG processor does."""
    airflows.store(dag)
    if not AIRFLOW_3:
        from airflow.models.serialized_dag import SerializedDagModel

        SerializedDagModel.write_dag(dag)
    paused(dag.dag_id, False)
    return dag


@pytest.fixture
def child(metadata_db):
    """Return the id of a DAG of one task."""
    with DAG(f"child_{uuid.uuid4().hex}", schedule=None, start_date=START, max_active_runs=2) as dag:
        EmptyOperator(task_id="work")
    return synced(dag).dag_id


def child_runs(dag_id):
    """Return the runs of a DAG by key; the key is what they were told."""
    with create_session() as session:
        found = session.query(DagRun).filter_by(dag_id=dag_id).order_by(DagRun.id).all()
        session.expunge_all()
    return {str(run.conf["item"]): run for run in found}


def until(is_so):
    """Wait for it, a minute at most."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(dag_id, state="success", **others):
    """End all runs of a DAG, or those whose items are named in another state."""
    with create_session() as session:
        for run in session.query(DagRun).filter_by(dag_id=dag_id):
            run.state = others.get(str(run.conf["item"]), state)
            tasks = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run.run_id)
            tasks.update({"state": run.state})


class Parent:
    """A run of a DAG with the operator in it, which goes as far as its child runs let it."""

    def __init__(self, dag_id, items=("a", "b", "c"), build=None, **arguments):
        with DAG(f"parent_{uuid.uuid4().hex}", schedule=None, start_date=START) as self.dag:
            if build:
                build()
            else:
                items = items if isinstance(items, str) else list(items)
                TriggerDagRunPerItemOperator(
                    task_id="ship",
                    trigger_dag_id=dag_id,
                    items=items,
                    **{"poke_interval": 0.01, **arguments},
                )
        self.run = (
            airflows.dag_test(self.dag) if build else airflows.Run(self.dag, logical_date=START).dag_run
        )
        self.error = None

    @property
    def instance(self):
        return self.run.get_task_instance("ship")

    def go(self):
        """Run the task as a worker does, to its end or until it waits; return its state."""
        error = airflows.run_alone(self.dag, self.instance)
        self.error = error and str(error)
        return self.instance.state

    def again(self):
        """Run the task once more, when somebody has cleared it."""
        airflows.clear(self.dag, self.instance)
        return self.go()

    def wait(self):
        """Wait as the triggerer does, then go on."""
        trigger, trigger_id = self.trigger()
        events = self.watched(asyncio.wait_for(everything(trigger.run()), 30))
        assert len(events) == 1
        Trigger.submit_event(trigger_id=trigger_id, event=events[0])
        return self.go()

    def watched(self, what):
        """Await something as in the triggerer."""

        async def awaited():
            return await what

        with airflows.supervised(self.instance):
            return asyncio.run(awaited())

    def trigger(self):
        """Return the trigger that the task waits for, made anew from what the database keeps."""
        with create_session() as session:
            row = session.get(Trigger, self.instance.trigger_id)
            module, _, name = row.classpath.rpartition(".")
            return getattr(importlib.import_module(module), name)(**row.kwargs), row.id

    def rows(self):
        return airflows.xcom_of(self.run, "ship")


async def everything(events):
    return [event async for event in events]


def states(rows):
    return {row["key"]: row["state"] for row in rows}


class TestAFirstTry:
    def test_starts_a_run_an_item_and_returns_their_states(self, child):
        parent = Parent(child, conf={"by": "{{ ds }}"})
        assert parent.go() == "deferred"
        found = child_runs(child)
        assert [run.conf for run in found.values()] == [
            {"by": "2024-01-01", "item": item} for item in ("a", "b", "c")
        ]
        kind = "operator_triggered" if AIRFLOW_3 else "manual"
        assert {(run.state, run.run_type) for run in found.values()} == {("queued", kind)}
        with create_session() as session:
            tasks = session.query(TaskInstance).filter_by(dag_id=child).all()
        assert sorted(one.run_id for one in tasks) == sorted(run.run_id for run in found.values())

        ended(child)
        assert parent.wait() == "success"
        assert parent.rows() == [
            {"key": f"item={item}", "run_id": run.run_id, "state": "success"} for item, run in found.items()
        ]

    def test_reads_a_list_that_a_template_left_as_text(self, child):
        parent = Parent(child, "{{ ['a', 7] }}")
        assert parent.go() == "deferred"
        assert [run.conf for run in child_runs(child).values()] == [{"item": "a"}, {"item": 7}]

    def test_of_no_items_is_skipped(self, child):
        assert Parent(child, []).go() == "skipped"
        assert child_runs(child) == {}

    def test_takes_what_mapped_tasks_returned_as_it_is(self, child):
        def build():
            @task
            def order(n):
                return {"text": f"{{{{ {n} }}}}"}

            TriggerDagRunPerItemOperator(
                task_id="ship", trigger_dag_id="none yet", items=order.expand(n=[1, 2])
            )

        parent = Parent(child, build=build)
        parent.dag.get_task("ship").trigger_dag_id = child
        assert parent.go() == "deferred"
        assert [run.conf for run in child_runs(child).values()] == [
            {"item": {"text": "{{ 1 }}"}},
            {"item": {"text": "{{ 2 }}"}},
        ]

    @TABLES_ONLY
    def test_says_how_many_run_at_once_and_that_nobody_waits(self, child, caplog):
        Parent(child).go()
        assert (
            f"3 items, runs of {child}: 3 to start, 0 failed ones to run again, 0 unfinished ones to adopt"
            in caplog.text
        )
        assert f"{child} has max_active_runs=2" in caplog.text
        assert "No triggerer is alive" in caplog.text

    def test_of_more_items_than_one_query_takes(self, child):
        parent = Parent(child, range(251))
        parent.go()
        assert len(child_runs(child)) == 251
        ended(child, **{"250": "failed"})
        assert parent.wait() == "failed"
        assert states(parent.rows()) == {f"item={n}": "failed" if n == 250 else "success" for n in range(251)}

    def test_of_each_mapped_instance_has_runs_of_its_own(self, child):
        def build():
            TriggerDagRunPerItemOperator.partial(task_id="ship", trigger_dag_id=child).expand(
                items=[["a"], ["a"]]
            )

        with DAG(f"mapped_{uuid.uuid4().hex}", schedule=None, start_date=START) as dag:
            build()
        run = airflows.Run(dag).dag_run
        run.dag = airflows.scheduler_dag(dag) if AIRFLOW_3 else dag
        run.update_state()
        for instance in run.get_task_instances():
            assert airflows.run_alone(dag, instance) is None
        with create_session() as session:
            assert session.query(DagRun).filter_by(dag_id=child).count() == 2


class TestAnotherTry:
    def test_adopts_what_is_there_and_starts_what_is_missing(self, child):
        parent = Parent(child)
        parent.go()
        before = child_runs(child)
        with create_session() as session:
            session.get(DagRun, before["a"].id).state = "success"
            session.delete(session.get(DagRun, before["b"].id))

        assert parent.again() == "deferred"
        after = child_runs(child)
        assert after["b"].run_id == before["b"].run_id
        assert after["b"].id not in {run.id for run in before.values()}
        assert {after[item].id for item in "ac"} == {before[item].id for item in "ac"}
        assert (after["a"].state, after["c"].state) == ("success", "queued")

    @pytest.mark.parametrize("again", [False, True], ids=["to_start", "to_run_again"])
    def test_after_a_signal_between_two_runs_goes_on_with_those_that_are_left(self, child, caplog, again):
        parent = Parent(child, list("abc"), retries=1)
        if again:
            parent.go()
            ended(child, "failed")
            assert parent.wait() == "up_for_retry"

        def signalled(mapper, connection, run):
            # Of a run that was there something else is written too.
            if run.dag_id == child and run.conf["item"] == "b" and run.state == "queued":
                os.kill(os.getpid(), signal.SIGTERM)

        before, moment = signal.getsignal(signal.SIGTERM), "before_update" if again else "before_insert"
        event.listen(DagRun, moment, signalled)
        try:
            # Airflow 3 only calls `on_kill`: the run that is being started is started.
            with contextlib.nullcontext() if AIRFLOW_3 else pytest.raises(AirflowTaskTerminated):
                assert parent.go() in ("failed", "up_for_retry")
        finally:
            event.remove(DagRun, moment, signalled)
            signal.signal(signal.SIGTERM, before)
        assert f"The runs of {child} that this task has started go on" in caplog.text
        first = {item: run for item, run in child_runs(child).items() if run.state == "queued"}
        assert set(first) == ({"a", "b"} if AIRFLOW_3 else {"a"})
        if AIRFLOW_3:
            assert f"ship was ended: 1 of 3 runs of {child} were left out, the first of them item=c" in (
                parent.error
            )
        assert parent.again() == "deferred"
        after = child_runs(child)
        assert {run.state for run in after.values()} == {"queued"}
        assert {item: after[item].id for item in first} == {item: run.id for item, run in first.items()}
        assert {run.clear_number for run in after.values()} == {int(again)}

    @TABLES_ONLY
    def test_goes_on_wherever_a_connection_is_lost(self, child, monkeypatch):
        """Each function that asks the database loses its connection in its first statement, once."""
        monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
        lost = set()

        def lose(*_):
            for frame in traceback.extract_stack():
                place = (Path(frame.filename).stem, frame.name)
                if place in ASKING and place not in lost:
                    lost.add(place)
                    raise OperationalError(
                        "SELECT", {}, Exception("server closed the connection unexpectedly")
                    )

        parent = Parent(child)
        event.listen(settings.engine, "before_cursor_execute", lose)
        try:
            assert parent.go() == "deferred"
            ended(child, b="failed")
            assert parent.wait() == "failed"
            assert f"1 of 3 runs of {child} failed:\n1 × work failed\n  item=b\n" in parent.error
            assert parent.again() == "deferred"
            ended(child)
            assert parent.wait() == "success"
        finally:
            event.remove(settings.engine, "before_cursor_execute", lose)
        assert lost == ASKING
        assert {item: run.clear_number for item, run in child_runs(child).items()} == {"a": 0, "b": 1, "c": 0}
        assert states(parent.rows()) == {f"item={item}": "success" for item in "abc"}

    def test_runs_again_what_failed_alone(self, child):
        parent = Parent(child, retries=1)
        parent.go()
        ended(child, b="failed")
        assert parent.wait() == "up_for_retry"
        assert states(parent.rows()) == {"item=a": "success", "item=b": "failed", "item=c": "success"}
        assert f"1 of 3 runs of {child} failed:\n1 × work failed\n  item=b\n" in parent.error

        before = child_runs(child)
        assert parent.go() == "deferred"
        after = child_runs(child)
        assert {item: run.state for item, run in after.items()} == {
            "a": "success",
            "b": "queued",
            "c": "success",
        }
        assert [run.clear_number for run in after.values()] == [0, 1, 0]
        assert {run.id for run in after.values()} == {run.id for run in before.values()}
        ended(child)
        assert parent.wait() == "success"
        assert set(states(parent.rows()).values()) == {"success"}

    def test_where_all_have_succeeded_needs_neither_the_dag_nor_a_triggerer(self, child):
        parent = Parent(child)
        parent.go()
        ended(child)
        with create_session() as session:
            session.get(DagModel, child).is_paused = True
        assert parent.again() == "success"
        assert set(states(parent.rows()).values()) == {"success"}

    def test_in_another_run_of_the_dag_has_runs_of_its_own(self, child):
        parents = [Parent(child), Parent(child)]
        parents[1].dag = parents[0].dag
        parents[1].run = airflows.Run(parents[0].dag, logical_date=START.add(days=1)).dag_run
        for parent in parents:
            parent.go()
        with create_session() as session:
            assert session.query(DagRun).filter_by(dag_id=child).count() == 6
        ended(child)
        ids = [{row["run_id"] for row in parent.rows()} for parent in parents if parent.wait()]
        assert len(ids[0] | ids[1]) == 6


class TestWaiting:
    def test_goes_on_for_a_run_that_somebody_clears_at_the_last_moment(self, child):
        parent = Parent(child)
        parent.go()
        ended(child)
        trigger, trigger_id = parent.trigger()
        (fired,) = parent.watched(everything(trigger.run()))
        ended(child, a="running")
        Trigger.submit_event(trigger_id=trigger_id, event=fired)
        assert parent.go() == "deferred"
        ended(child)
        assert parent.wait() == "success"

    def test_ends_for_a_run_that_somebody_deletes(self, child):
        parent = Parent(child)
        parent.go()
        with create_session() as session:
            session.delete(session.get(DagRun, child_runs(child)["b"].id))
        ended(child)
        assert parent.wait() == "failed"
        assert states(parent.rows()) == {"item=a": "success", "item=b": "deleted", "item=c": "success"}
        assert "1 × the run was deleted while this task waited\n  item=b" in parent.error

    def test_says_how_far_it_is_when_that_changes(self, child, caplog):
        parent = Parent(child)
        parent.go()
        trigger, _ = parent.trigger()

        caplog.set_level("INFO")

        def said():
            return [r.message for r in caplog.records if "have ended" in r.message]

        async def watch():
            waiting = asyncio.create_task(everything(trigger.run()))
            changes = [
                lambda: ended(child, "queued", a="failed"),
                lambda: paused(child),
                lambda: ended(child, a="failed"),
            ]
            # A trigger of Airflow 3 can't ask whether a DAG is paused.
            for count, change in enumerate(changes[::2] if AIRFLOW_3 else changes, start=1):
                while len(said()) < count:
                    await asyncio.sleep(0.01)
                change()
            await asyncio.wait_for(waiting, 30)

        parent.watched(asyncio.wait_for(watch(), 60))
        name = f"of 3 runs of {child} have ended:"
        pause = f"1 {name} 1 failed, 2 queued; {child} is paused: they wait until somebody unpauses it"
        assert said() == [
            f"0 {name} 3 queued",
            f"1 {name} 1 failed, 2 queued",
            *([] if AIRFLOW_3 else [pause]),
            f"3 {name} 1 failed, 2 success",
        ]

    def test_that_is_cancelled_says_what_becomes_of_the_runs(self, child, caplog):
        parent = Parent(child)
        parent.go()
        trigger, _ = parent.trigger()

        async def cancelled():
            waiting = asyncio.create_task(everything(trigger.run()))
            while "have ended" not in caplog.text:
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
            return waiting.cancelled()

        caplog.set_level("INFO")
        assert parent.watched(asyncio.wait_for(cancelled(), 60))
        assert "The runs themselves go on. When the task runs again it adopts them." in caplog.text

    def test_is_in_vain_without_the_xcom_that_says_for_what(self, child):
        parent = Parent(child)
        parent.go()
        airflows.delete_xcom(parent.run, "ship", key="mapping_kit_child_runs")
        assert parent.wait() == "failed"
        assert "'mapping_kit_child_runs' of ship, which says what it waits for, was deleted" in parent.error


def paused(dag_id, is_paused=True):
    with create_session() as session:
        session.get(DagModel, dag_id).is_paused = is_paused


def inactive(dag_id):
    with create_session() as session:
        model = session.get(DagModel, dag_id)
        model.is_stale = True
        model.is_active = False


def broken(dag_id):
    with create_session() as session:
        model = session.get(DagModel, dag_id)
        model.has_import_errors = True
        session.add(
            ParseImportError(filename=model.fileloc, stacktrace="Traceback:\n  x\nImportError: no module y\n")
        )


class TestWhatIsWaitedFor:
    def test_is_nothing_where_the_task_is_not_to_wait(self, child):
        parent = Parent(child, wait_for_completion=False)
        assert parent.go() == "success"
        assert parent.rows() == [
            {"key": f"item={item}", "run_id": run.run_id, "state": "queued"}
            for item, run in child_runs(child).items()
        ]
        ended(child, b="failed", c="running")
        assert parent.again() == "success"
        assert states(parent.rows()) == {"item=a": "success", "item=b": "queued", "item=c": "running"}
        assert [run.clear_number for run in child_runs(child).values()] == [0, 1, 0]

    def test_is_a_failure_too_where_that_is_allowed_and_it_is_not_run_again(self, child):
        parent = Parent(child, allowed_states=["success", DagRunState.FAILED], failed_states=[])
        parent.go()
        ended(child, b="failed")
        assert parent.wait() == "success"
        expected = {"item=a": "success", "item=b": "failed", "item=c": "success"}
        assert states(parent.rows()) == expected
        assert parent.again() == "success"
        assert states(parent.rows()) == expected
        assert {run.clear_number for run in child_runs(child).values()} == {0}

    def test_is_no_more_than_the_start_where_running_is_allowed(self, child):
        parent = Parent(child, allowed_states=["running", "success"])
        parent.go()
        ended(child, "running", b="success")
        assert parent.wait() == "success"
        assert states(parent.rows()) == {"item=a": "running", "item=b": "success", "item=c": "running"}

    def test_is_somebody_who_clears_what_failed_where_that_is_in_neither_list(self, child, caplog):
        parent = Parent(child, failed_states=[])
        parent.go()
        ended(child, b="failed")
        trigger, _ = parent.trigger()
        caplog.set_level("INFO")

        async def watch():
            waiting = asyncio.create_task(everything(trigger.run()))
            while "wait until somebody clears them" not in caplog.text:
                await asyncio.sleep(0.01)
            assert not waiting.done()
            ended(child)
            await asyncio.wait_for(waiting, 30)

        parent.watched(asyncio.wait_for(watch(), 60))
        assert f"2 of 3 runs of {child} have ended: 1 failed, 2 success; 1 failed and wait" in caplog.text
        assert parent.wait() == "success"
        assert set(states(parent.rows()).values()) == {"success"}

    def test_is_what_ends_as_it_should_not(self, child):
        parent = Parent(child, ["a"], allowed_states=["failed"], failed_states=["success"])
        parent.go()
        ended(child)
        assert parent.wait() == "failed"
        assert "1 × the run is success, which is among failed_states\n  item=a" in parent.error


class TestAtMostSoManyInFlight:
    def test_starts_others_as_they_end(self, child):
        parent = Parent(child, list("abcde"), max_in_flight=2)
        assert parent.go() == "deferred"
        for there, done in (("ab", "a"), ("abc", "abc"), ("abcde", "abcde")):
            assert "".join(child_runs(child)) == there
            ended(child, "queued", **dict.fromkeys(done, "success"))
            assert parent.wait() == ("success" if done == "abcde" else "deferred")
        assert states(parent.rows()) == {f"item={item}": "success" for item in "abcde"}

    def test_starts_the_others_too_where_one_has_failed_and_names_it_at_the_end(self, child):
        parent = Parent(child, list("abc"), max_in_flight=1, retries=1)
        parent.go()
        for item in "ab":
            ended(child, "failed" if item == "a" else "success", a="failed")
            assert parent.wait() == "deferred"
        ended(child, a="failed")
        assert parent.wait() == "up_for_retry"
        assert f"1 of 3 runs of {child} failed:\n1 × work failed\n  item=a\n" in parent.error
        assert states(parent.rows()) == {"item=a": "failed", "item=b": "success", "item=c": "success"}

    def test_counts_those_that_it_adopts_and_those_that_run_again(self, child):
        parent = Parent(child, list("abcd"), max_in_flight=2)
        parent.go()
        ended(child, "running", a="failed")
        # Killed: one goes on, one has failed, two are missing.
        assert parent.again() == "deferred"
        assert list(child_runs(child)) == ["a", "b", "c"]
        ended(child, a="failed")
        assert parent.wait() == "deferred"
        found = child_runs(child)
        assert {item: (run.state, run.clear_number) for item, run in found.items()} == {
            "a": ("queued", 1),
            "b": ("success", 0),
            "c": ("success", 0),
            "d": ("queued", 0),
        }
        ended(child)
        assert parent.wait() == "success"
        assert {run.id for run in found.values()} == {run.id for run in child_runs(child).values()}

    def test_tells_each_what_it_would_have_been_told_at_first(self, child):
        parent = Parent(
            child, [{"n": 1}, {"n": 2}], max_in_flight=1, conf={"at": "{{ macros.uuid.uuid4() }}"}
        )
        parent.go()
        ended(child)
        parent.wait()
        told = [run.conf for run in child_runs(child).values()]
        assert [conf["item"] for conf in told] == [{"n": 1}, {"n": 2}]
        assert len({conf["at"] for conf in told}) == 1


class TestATaskThatWaitsInItsSlot:
    @pytest.mark.parametrize("max_in_flight", [None, 1])
    def test_ends_with_its_runs(self, child, max_in_flight):
        parent = Parent(child, deferrable=False, max_in_flight=max_in_flight)

        def all_have_ended():
            states = [run.state for run in child_runs(child).values()]
            assert states.count("queued") <= (max_in_flight or 3)
            ended(child, b="failed")
            return len(states) == 3

        with ThreadPoolExecutor() as pool:
            ending = pool.submit(until, all_have_ended)
            assert parent.go() == "failed"
            ending.result()
        assert states(parent.rows()) == {"item=a": "success", "item=b": "failed", "item=c": "success"}
        assert f"1 of 3 runs of {child} failed:\n1 × work failed\n  item=b\n" in parent.error

    def test_says_when_it_is_ended_that_its_runs_go_on(self, child, caplog):
        # The signal is to meet it asleep. In the midst of a statement it would leave SQLite's lock in its traceback.
        parent = Parent(child, deferrable=False, poke_interval=1)
        main, before = threading.get_ident(), signal.getsignal(signal.SIGTERM)

        def kill():
            until(lambda: "0 of 3 runs" in caplog.text)
            signal.pthread_kill(main, signal.SIGTERM)

        caplog.set_level("INFO")
        with ThreadPoolExecutor() as pool:
            pool.submit(kill)
            try:
                # Airflow 3 only calls `on_kill`.
                with contextlib.nullcontext() if AIRFLOW_3 else pytest.raises(AirflowTaskTerminated):
                    assert parent.go() == "failed"
            finally:
                signal.signal(signal.SIGTERM, before)
        assert f"The runs of {child} that this task has started go on" in caplog.text
        if AIRFLOW_3:
            assert f"ship was ended while it waited for 3 runs of {child}" in parent.error
        assert {run.state for run in child_runs(child).values()} == {"queued"}


class TestADagThatCannotRun:
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (paused, "is paused, so its runs would never begin. Unpause it (`airflow dags unpause child_"),
            (inactive, "There is no DAG 'child_"),
            (
                broken,
                "can't be imported: "
                + ("see" if AIRFLOW_3 else "ImportError: no module y. No run was started."),
            ),
        ],
    )
    def test_fails_the_task_at_once_before_any_run_is_started(self, child, make, said):
        make(child)
        parent = Parent(child, retries=3)
        try:
            assert parent.go() == "failed"
        finally:
            with create_session() as session:
                session.query(ParseImportError).delete()
        assert said in parent.error
        assert child_runs(child) == {}

    def test_is_one_with_a_misspelt_name(self, child):
        parent = Parent(f"{child[:-1]}x", retries=3)
        assert parent.go() == "failed"
        assert f"There is no DAG '{child[:-1]}x'{'' if AIRFLOW_3 else f' (there are {child}'}" in parent.error

    @TABLES_ONLY
    @pytest.mark.parametrize(
        ("dates", "said"),
        [
            ({"start_date": pendulum.datetime(2999, 1, 1)}, "has the start_date 2999-01-01T00:00:00+00:00"),
            ({"end_date": pendulum.datetime(2024, 2, 1)}, "has the end_date 2024-02-01T00:00:00+00:00"),
        ],
    )
    def test_is_one_whose_tasks_a_run_of_now_would_leave_out(self, metadata_db, dates, said):
        with DAG(f"child_{uuid.uuid4().hex}", schedule=None, **{"start_date": START, **dates}) as dag:
            EmptyOperator(task_id="work")
        parent = Parent(synced(dag).dag_id)
        assert parent.go() == "failed"
        assert f"work of the DAG {dag.dag_id!r} {said}" in parent.error
        assert child_runs(dag.dag_id) == {}

    @pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 3 has DAGs that no task may start")
    def test_is_one_that_no_task_may_start(self, metadata_db):
        with DAG(
            f"child_{uuid.uuid4().hex}", schedule=None, start_date=START, allowed_run_types=["manual"]
        ) as dag:
            EmptyOperator(task_id="work")
        parent = Parent(synced(dag).dag_id)
        assert parent.go() == "failed"
        assert "does not allow operator-triggered runs. Runs that were started before go on" in parent.error

    def test_is_one_whose_params_do_not_allow_an_item(self, metadata_db):
        params = {"item": Param(1, type="integer", minimum=0)}
        with DAG(f"child_{uuid.uuid4().hex}", schedule=None, start_date=START, params=params) as dag:
            EmptyOperator(task_id="work")
        parent = Parent(synced(dag).dag_id, [1, 2, "three"])
        assert parent.go() == "failed"
        assert "allow what item=three would be told: " in parent.error
        assert "'three' is not of type 'integer'. " in parent.error
        # Airflow 3 says what it refuses only when it is to start it.
        assert set(child_runs(dag.dag_id)) == ({"1", "2"} if AIRFLOW_3 else set())
        parent = Parent(dag.dag_id, [1, 2])
        assert parent.go() == "deferred"
        assert {"1", "2"} == set(child_runs(dag.dag_id))

    # The parent's own run is called run-1, run-2, ...
    @pytest.mark.parametrize("pattern", ["^[a-z0-9-]+$", "^(run-|manual__)"])
    def test_is_one_whose_run_ids_the_deployment_does_not_allow(self, child, monkeypatch, pattern):
        parent = Parent(child, retries=3)
        monkeypatch.setenv("AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", pattern)
        assert parent.go() == "failed"
        assert f"[scheduler] allowed_run_id_pattern, {pattern!r}, does not allow 'per_item__" in parent.error
        assert "No run was started" in parent.error
        assert child_runs(child) == {}

    def test_is_not_one_that_allows_them_in_its_own_words(self, child, monkeypatch):
        parent = Parent(child)
        monkeypatch.setenv("AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", "^(run-|per_item__)")
        assert parent.go() == "deferred"
        assert len(child_runs(child)) == 3


def test_a_run_that_another_process_has_started_meanwhile_is_not_started_twice(child):
    run = ChildRun("item=a", "per_item__x", {"item": "a"})
    with airflows.supervised():
        assert [runs.start(runs.Child.of(child), run) for _ in range(2)] == [True, False]
    assert len(child_runs(child)) == 1


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 runs again only what did not succeed")
def test_airflow_has_no_way_yet_to_run_again_what_failed_in_a_run_alone():
    """Where it has one, `restart` is to take it."""
    from airflow.sdk.execution_time.comms import TriggerDagRun

    assert [name for name in TriggerDagRun.model_fields if "failed" in name] == []


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 runs again only what did not succeed")
def test_a_failed_run_is_run_again_as_a_whole_and_only_while_it_is_failed(child):
    parent = Parent(child, ["a"])
    parent.go()
    ended(child, "failed")
    run = ChildRun("item=a", child_runs(child)["a"].run_id, {"item": "a"})
    with airflows.supervised():
        assert [runs.restart(runs.Child(child), run) for _ in range(2)] == [True, False]
        assert runs.tally(child, [run.run_id]) == {"queued": 1}


def test_the_states_of_many_runs_are_told_apart(child):
    parent = Parent(child, range(9))
    parent.go()
    ended(child, **{"1": "failed", "4": "running", "5": "failed"})
    ids = {item: run.run_id for item, run in child_runs(child).items()}
    with airflows.supervised():
        found = runs.states(child, [*ids.values(), "per_item__of_another"])
    expected = {"1": "failed", "4": "running", "5": "failed"}
    assert {item: found.get(run_id) for item, run_id in ids.items()} == {
        item: expected.get(item, "success") for item in ids
    }
    assert len(found) == 9


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 runs a failed run again as a whole")
class TestWhatRunsAgain:
    """What is cleared in a child run that really ran and failed."""

    @pytest.fixture
    def cleared(self, metadata_db):
        """Return a function that runs a DAG, marks what is told, restarts the run, and returns what is cleared."""

        def run(build, **marked):
            with DAG(f"child_{uuid.uuid4().hex}", schedule=None, start_date=START) as dag:
                build()
            run = synced(dag).test()
            with create_session() as session:
                row = session.get(DagRun, run.id)
                row.state = "failed"
                for task_id, state in marked.items():
                    session.query(TaskInstance).filter_by(
                        run_id=run.run_id, dag_id=dag.dag_id, task_id=task_id
                    ).update({"state": state})
            failed = ChildRun("item=a", run.run_id, {})
            assert runs.restart(runs.Child.of(dag.dag_id), failed)
            assert runs.states(dag.dag_id, [run.run_id]) == {run.run_id: "queued"}
            assert not runs.restart(runs.Child.of(dag.dag_id), failed)
            return {(one.task_id, one.map_index) for one in run.get_task_instances() if one.state is None}

        return run

    def test_is_what_failed_and_what_follows_even_if_that_had_succeeded(self, cleared):
        def build():
            done, after, always = (EmptyOperator(task_id=name) for name in ("done", "after", "always"))
            always.trigger_rule = "all_done"
            done >> fails() >> after >> always

        assert cleared(build) == {("fails", -1), ("after", -1), ("always", -1)}

    def test_is_what_nobody_began_where_a_run_was_marked_failed(self, cleared):
        def build():
            EmptyOperator(task_id="done") >> EmptyOperator(task_id="ran") >> EmptyOperator(task_id="waited")

        assert cleared(build, ran="failed", waited="skipped") == {("ran", -1), ("waited", -1)}

    def test_is_nothing_where_all_tasks_had_succeeded(self, cleared):
        assert cleared(lambda: EmptyOperator(task_id="done")) == set()

    def test_is_the_setup_that_the_work_needs_too(self, cleared):
        def build():
            @setup
            def opened(): ...

            @teardown
            def closed(): ...

            first, last = opened(), closed()
            EmptyOperator(task_id="before") >> first >> fails() >> last
            first >> last

        assert cleared(build) == {("opened", -1), ("fails", -1), ("closed", -1)}

    def test_is_the_piece_of_a_mapped_group_alone_and_what_follows_the_group(self, cleared):
        def build():
            @task
            def one(n):
                return n

            @task
            def two(n):
                if n == 2:
                    raise AirflowException("two is broken")

            @task
            def three(): ...

            @task_group
            def steps(n):
                two(one(n)) >> three()

            steps.expand(n=[1, 2, 3]) >> EmptyOperator(task_id="end", trigger_rule="all_done")

        assert cleared(build) == {("steps.two", 1), ("steps.three", 1), ("end", -1)}

    def test_is_what_had_skipped_itself(self, cleared):
        def build():
            @task
            def skips():
                raise AirflowSkipException

            [skips(), fails()]

        assert cleared(build) == {("skips", -1), ("fails", -1)}

    def test_is_more_than_sqlite_takes_in_one_expression(self, child):
        parent = Parent(child, ["a"])
        parent.go()
        run = child_runs(child)["a"]
        with create_session() as session:
            table = TaskInstance.__table__
            (one,) = session.execute(table.select().where(table.c.run_id == run.run_id)).mappings()
            session.execute(table.insert(), [{**one, "map_index": index} for index in range(1_001)])
        ended(child, "failed")
        assert runs.restart(runs.Child.of(child), ChildRun("item=a", run.run_id, {}))
        found = child_runs(child)["a"]
        assert (found.state, found.clear_number) == ("queued", 1)
        assert {one.state for one in run.get_task_instances()} == {None}


@task
def fails():
    raise AirflowException("broken")
