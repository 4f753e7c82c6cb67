"""Loads that were killed, or whose answers were lost, and what the next try makes of them."""

from __future__ import annotations

import contextlib
import gzip
import multiprocessing
import os
import signal
import uuid

import pendulum
import pytest

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3, AirflowException, AirflowFailException
from airflow_mapping_kit.operators.snowflake.transform import TransformOperator

KEYS = ["landing/20130101/EWR.csv", "landing/20130101/JFK.csv"]
ROWS = [(1, "EWR"), (2, "JFK"), (3, "JFK")]


@pytest.fixture
def landed(warehouse):
    warehouse.put(KEYS[0], b"1,EWR\n")
    warehouse.put(KEYS[1], b"2,JFK\n3,JFK\n")
    return warehouse


@pytest.mark.parametrize("statement", ["COPY INTO", "COMMIT"])
def test_a_lost_answer_doubles_nothing(landed, through_proxy, statement):
    proxy = through_proxy(statement, "cut")

    result = landed.load(KEYS)

    assert proxy.reached.is_set()
    assert sum(sql.startswith(statement) for sql in proxy.statements) == 2
    assert {row["status"] for row in result} <= {"loaded", "already_loaded"}
    assert landed.rows() == ROWS


@pytest.mark.parametrize(
    ("statement", "fault", "status"),
    [
        ("COPY INTO", "hold before", "loaded"),
        ("COPY INTO", "hold", "loaded"),
        ("COMMIT", "hold before", "loaded"),
        ("COMMIT", "hold", "already_loaded"),
    ],
)
def test_after_a_kill_the_next_try_ends_with_every_row_once(landed, through_proxy, statement, fault, status):
    proxy = through_proxy(statement, fault)
    operator = landed.operator(KEYS)
    task = multiprocessing.get_context("fork").Process(target=operator.execute, args=({},))
    task.start()
    try:
        assert proxy.reached.wait(60)
        assert task.is_alive()
    finally:
        task.kill()
        task.join()
    proxy.released.set()

    result = landed.load(KEYS)

    assert [row["status"] for row in result] == [status] * 2
    assert landed.rows() == ROWS


@pytest.mark.usefixtures("metadata_db")
@pytest.mark.parametrize("made", ["load", "transform"])
def test_a_try_that_froze_and_comes_back_when_another_is_at_work_commits_nothing(
    landed, through_proxy, caplog, made
):
    with airflows.DAG(f"f{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        if made == "load":
            landed.operator(KEYS)
        else:
            TransformOperator(task_id="load", sql="INSERT INTO flights VALUES (1, 'EWR')")
    proxy = through_proxy("COPY" if made == "load" else "INSERT", lambda: airflows.give_away(dag, "load"))

    # What the old try says of its end Airflow 3 takes no more.
    with contextlib.suppress(Exception):
        airflows.dag_test(dag)

    assert ("knows this try" if AIRFLOW_3 else "no longer owns try 1") in caplog.text
    assert "COMMIT" not in proxy.statements
    assert landed.rows() == []
    assert {row["status"] for row in landed.load(KEYS)} == {"loaded"}


class Terminated(BaseException):
    """What Airflow 2 raises in a task that is ended."""


def end_as_airflow_does(operator, answers, *, raises):
    """Run the operator as Airflow runs a task: SIGTERM calls on_kill, and on Airflow 2 raises."""

    def terminate(*_):
        operator.on_kill()
        if raises:
            raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        answers.put(("returned", str(operator.execute({})), ""))
    except BaseException as error:  # noqa: BLE001  whatever ends the task is the answer
        answers.put((type(error).__name__, str(error), str(error.__cause__)))


@pytest.mark.parametrize("raises", [False, True], ids=["Airflow 3", "Airflow 2"])
def test_what_runs_in_the_warehouse_is_cancelled_when_the_task_is_ended(landed, through_proxy, raises):
    # Some ten seconds of reading, and a third of a megabyte to send.
    landed.put("landing/large.csv.gz", gzip.compress(b"1,EWR\n" * 40_000_000, compresslevel=1))
    proxy = through_proxy()
    forked = multiprocessing.get_context("fork")
    answers = forked.Queue()
    operator = landed.operator("landing/large.csv.gz")
    task = forked.Process(target=end_as_airflow_does, args=(operator, answers), kwargs={"raises": raises})
    task.start()
    try:
        assert proxy.sent("COPY INTO", seconds=60)
        os.kill(task.pid, signal.SIGTERM)
        kind, said, cause = answers.get(timeout=60)
    finally:
        task.kill()
        task.join()

    if raises:
        assert kind == "Terminated"
    else:
        assert kind == "AirflowException"
        assert "The task was ended" in said
        assert "SQL execution canceled" in cause
    words = [sql.split("(")[0] for sql in proxy.statements]
    assert words[-1] == "SELECT SYSTEM$CANCEL_ALL_QUERIES"
    assert "COMMIT" not in words
    assert landed.rows() == []


@pytest.mark.parametrize(("statement", "rows"), [("COPY INTO", []), ("COMMIT", ROWS)])
def test_a_task_that_is_ended_between_two_statements_sends_no_other(landed, through_proxy, statement, rows):
    operator = landed.operator(KEYS)
    proxy = through_proxy(statement, operator.on_kill)

    with pytest.raises(AirflowException, match="The task was ended") as ended:
        operator.execute({})

    assert not isinstance(ended.value, AirflowFailException), "another try goes on"
    assert [sql.split("(")[0].split()[0] for sql in proxy.statements][-2:] == [statement.split()[0], "SELECT"]
    assert landed.rows() == rows
    statuses = {row["status"] for row in landed.load(KEYS)}
    assert statuses == {"already_loaded" if rows else "loaded"}
    assert landed.rows() == ROWS


def test_a_task_that_is_ended_before_it_began_asks_nothing(landed, through_proxy):
    operator = landed.operator(KEYS)
    proxy = through_proxy()
    operator.on_kill()

    with pytest.raises(AirflowException, match="The task was ended"):
        operator.execute({})

    assert proxy.statements == []
