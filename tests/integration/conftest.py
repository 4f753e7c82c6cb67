"""A real metadata database in this process, and a way to run a DAG's tasks against it."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pendulum
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

import airflows


@pytest.fixture(scope="session")
def metadata_db():
    """Make Airflow's tables in the SQLite database of the tests' own Airflow home."""
    # It goes with the tests, so nothing is worth an fsync: Airflow's web server alone commits hundreds of times.
    event.listen(Engine, "connect", _without_fsync)
    airflows.make_tables()


def _without_fsync(connection, _):
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def nothing_holds_the_database():
    """Fail a test that leaves a cursor or a transaction behind.

    SQLite lets nobody commit then: each commit of the tests after it would wait for many seconds, and fail.
    """
    yield
    if os.environ.get("KIT_TEST_DATABASE") or _can_be_locked(seconds=0):
        return
    # A test that has failed: its traceback has all that it had.
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    gc.collect()
    if not _can_be_locked(seconds=20):
        pytest.fail("The test has left a cursor or a transaction of the metadata database behind: close it.")


def _can_be_locked(seconds):
    path = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True


@pytest.fixture
def run_of(metadata_db):
    """Return a function that creates a run of a DAG."""
    return airflows.Run


@pytest.fixture
def dag_test(metadata_db, caplog):
    """Return a function that runs a whole DAG and returns its instances by (task, map index)."""

    def run(dag, **kwargs):
        dag_run = airflows.dag_test(dag, **kwargs)
        return {(ti.task_id, ti.map_index): ti for ti in dag_run.get_task_instances()}

    return run


@pytest.fixture
def queries(metadata_db):
    """Return a context manager that counts the statements that are sent to the database."""
    from contextlib import contextmanager
    from types import SimpleNamespace

    from airflow import settings
    from sqlalchemy import event

    @contextmanager
    def counting():
        counted = SimpleNamespace(number=0, statements=[])

        def count(_, __, statement, *___):
            counted.number += 1
            counted.statements.append(statement)

        event.listen(settings.engine, "before_cursor_execute", count)
        try:
            yield counted
        finally:
            event.remove(settings.engine, "before_cursor_execute", count)

    return counting


@pytest.fixture
def tell(dag_test):
    """Return a function that runs a DAG whose task tells which partitions of an asset it changed."""

    def run(asset, *keys, dag_id=None, silently=False, alias=None):
        from airflow_mapping_kit.assets import mark_changed

        dag_id = dag_id or f"tells_{asset.uri.replace('/', '_').replace(':', '')}"
        with airflows.DAG(dag_id, schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

            @airflows.task(outlets=[alias or asset])
            def load(**context):
                if alias:
                    # Airflow 2.10 takes no list in the extra of an alias.
                    extra = {"mapping_kit_partitions": list(keys)} if keys else {}
                    context["outlet_events"][alias].add(asset, extra=extra)
                elif not silently:
                    mark_changed(keys)

            load()
        assert dag_test(dag)["load", -1].state == "success"

    return run
