"""A process that froze in the middle of a partition, and comes back when another one has been given its try."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pendulum
import pytest
from airflow import settings
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import airflows
from airflow_mapping_kit.checkpoints.owners import check_try, owner_of
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.operators.sql import SQLPartitionOperator
from airflow_mapping_kit.tables.sql.session import Session
from airflows import AIRFLOW_3

PARTITION = {"p": "a"}
MAX_DB_RETRIES = 3
pytestmark = pytest.mark.usefixtures("metadata_db")


@pytest.fixture(params=[PARTITION, [PARTITION]], ids=["alone", "in a batch"])
def partition(request):
    return request.param


def run_and_come_back(operator, caplog):
    # What the old try says of its end Airflow 3 takes no more.
    with contextlib.suppress(Exception):
        airflows.dag_test(operator.dag)
    assert ("knows this try" if AIRFLOW_3 else "no longer owns try 1") in caplog.text


def a_dag():
    return airflows.DAG(f"f{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1))


def test_a_file_that_the_next_try_has_published_stays(tmp_path, partition, caplog):
    source, newer = tmp_path / "source", tmp_path / "lake" / "p=a" / "data_0.parquet"
    os.mkfifo(source)
    with a_dag() as dag:
        operator = DuckDBPartitionOperator(
            task_id="load",
            sql="SELECT number FROM read_csv($source, columns={'number': 'INT'}, auto_detect=false) WHERE $p = 'a'",
            parameters={"source": str(source)},
            partition=partition,
            target=str(tmp_path / "lake"),
        )

    def freeze():
        # It opens when the query reads.
        with source.open("w") as rows:
            airflows.give_away(dag, "load")
            newer.parent.mkdir(parents=True, exist_ok=True)
            duckdb.sql("SELECT 2::INT AS number").write_parquet(str(newer))
            rows.write("1\n")

    thread = threading.Thread(target=freeze)
    thread.start()
    run_and_come_back(operator, caplog)
    thread.join(60)

    assert duckdb.read_parquet(str(newer)).fetchall() == [(2,)]
    assert os.listdir(newer.parent) == [newer.name]


def test_rows_that_the_next_try_has_written_stay(tmp_path, partition, caplog, monkeypatch):
    path = str(tmp_path / "a.db")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": path}))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE numbers (p TEXT, number INT)")
        database.execute("INSERT INTO numbers VALUES ('a', 2)")
        with a_dag() as dag:
            operator = SQLPartitionOperator(
                task_id="load",
                sql="SELECT 1 AS number WHERE :p = 'a'",
                conn_id="warehouse",
                table="numbers",
                partition=partition,
            )
        run = Session.run

        def freeze(session, what, sql, *others):
            if sql.startswith("DELETE"):
                airflows.give_away(dag, "load")
            return run(session, what, sql, *others)

        monkeypatch.setattr(Session, "run", freeze)
        run_and_come_back(operator, caplog)

        assert database.execute("SELECT * FROM numbers").fetchall() == [("a", 2)]


@pytest.mark.skipif(AIRFLOW_3, reason="there a task has no database")
def test_a_partition_that_airflow_says_nothing_of_is_named_and_left_and_the_others_published(
    tmp_path, dag_test, caplog
):
    with a_dag() as dag:
        DuckDBPartitionOperator(
            task_id="load",
            sql="SELECT 1 AS number WHERE $p <> ''",
            partition=[PARTITION, {"p": "b"}],
            target=str(tmp_path / "lake"),
        )
    asked = []

    def gone(*given):
        if given[2].startswith("SELECT state, try_number, job_id") and len(asked) < MAX_DB_RETRIES:
            asked.append(given[2])
            raise OperationalError(given[2], {}, Exception("server closed the connection unexpectedly"))

    event.listen(settings.engine, "before_cursor_execute", gone)
    try:
        assert dag_test(dag)["load", -1].state == "failed"
    finally:
        event.remove(settings.engine, "before_cursor_execute", gone)

    assert len(asked) == MAX_DB_RETRIES
    assert "1 of 2 partitions failed: p=a. Published: p=b" in caplog.text
    assert "Airflow does not answer whether this try is still this process's own" in caplog.text
    assert [path.parent.name for path in (tmp_path / "lake").glob("p=*/*.parquet")] == ["p=b"]


def test_threads_of_a_task_ask_one_after_the_other_whether_its_try_counts(dag_test):
    @airflows.task
    def work(**context):
        owner = owner_of(context)
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda _: check_try(context, owner), range(40)))

    with a_dag() as dag:
        work()

    assert dag_test(dag)["work", -1].state == "success"
