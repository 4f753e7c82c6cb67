"""A PostgreSQL with a database for each test, and the operator run as Airflow runs it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
from types import SimpleNamespace

import pendulum
import pytest

import airflows
import instances
from airflow_mapping_kit.tables.sql.session import Session, connected
from stack.postgres import Postgres
from stack.processes import Processes

_numbers = itertools.count(1)
SQL = "SELECT number, delay FROM raw WHERE origin = %(origin)s AND date = %(date)s"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Processes() as processes:
        yield Postgres(processes, tmp_path_factory.mktemp("postgres") / "postgres.log")


class Warehouse:
    """A database with an empty table `flights`, and `raw`: ten flights of each of three origins on five days."""

    def __init__(self, connection, environment):
        import psycopg2

        self.connection, self.environment = connection, environment
        self.dsn = {"host": connection["host"], "user": connection["login"], "dbname": connection["schema"]}
        self.session = psycopg2.connect(**self.dsn)
        self.session.autocommit = True
        self.connect()
        self.sql("CREATE TABLE flights (origin text, date date, number int, delay numeric)")
        self.sql("CREATE TABLE raw (origin text, date date, number int, delay numeric)")
        self.sql(
            "INSERT INTO raw SELECT o, d::date, n, n / 4.0 FROM unnest(ARRAY['EWR', 'JFK', 'LGA']) o, "
            "generate_series(date '2013-01-01', date '2013-01-05', interval '1 day') d, generate_series(1, 10) n"
        )

    def connect(self, **extra):
        """Let operators connect, with options of the connection's own."""
        self.environment.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**self.connection, "extra": extra}))

    def sql(self, statement, parameters=None):
        with self.session.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def counts(self):
        """Return number and sum of the flights of each partition."""
        found = self.sql(
            "SELECT coalesce(origin, '-'), coalesce(date::text, '-'), count(*), sum(number) FROM flights GROUP BY 1, 2"
        )
        return {f"{origin} {date}": (number, total) for origin, date, number, total in found}


@pytest.fixture
def warehouse(server, monkeypatch):
    found = Warehouse(json.loads(server.make_database(f"warehouse_{next(_numbers)}")), monkeypatch)
    yield found
    found.session.close()


@pytest.fixture
def load():
    """Return what runs the operator for a partition, or for a batch."""
    from airflow_mapping_kit.operators.sql import SQLPartitionOperator

    def run(
        partition,
        sql=SQL,
        table="flights",
        conn_id="warehouse",
        before=lambda operator: None,
        run_id="run",
        **arguments,
    ):
        with airflows.DAG("loads", schedule=None, start_date=pendulum.datetime(2013, 1, 1)):
            operator = SQLPartitionOperator(
                task_id="load", sql=sql, partition=partition, table=table, conn_id=conn_id, **arguments
            )
        before(operator)
        # Airflow lets a task be executed from one thread only.
        instance = SimpleNamespace(**{**vars(instances.INSTANCE), "run_id": run_id})
        return type(operator).execute.__wrapped__(operator, {"ti": instance, "task": operator})

    return run


@pytest.fixture
def at_once():
    """Return what calls functions at the same time, each in a thread, and returns what they return or raise."""

    def run(*calls):
        results = [None] * len(calls)

        def call(number, function):
            try:
                results[number] = function()
            except Exception as error:  # noqa: BLE001
                results[number] = error

        threads = [threading.Thread(target=call, args=one) for one in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return results

    return run


class _Deadly:
    """Kills its process before a statement of a session, or after a COMMIT."""

    def __init__(self, step):
        self.left = step

    def tick(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, function):
        def wrapped(*arguments, **options):
            self.tick()
            done = function(*arguments, **options)
            self.tick()
            return done

        return wrapped

    def wrap_context(self, function):
        @contextlib.contextmanager
        def wrapped(*arguments, **options):
            self.tick()
            with function(*arguments, **options) as cursor:
                yield cursor

        return wrapped


@pytest.fixture
def killed_at(warehouse):
    """Return what runs a function in a process that SIGKILL ends at a step; False where it came to its end before."""
    # What connecting imports is imported once, not in each process.
    with connected("warehouse"):
        pass

    def run(step, function):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                deadly = _Deadly(step)
                Session._cursor = deadly.wrap_context(Session._cursor)
                Session.fill = deadly.wrap(Session.fill)
                Session._commit = deadly.wrap(Session._commit)
                function()
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status in {0, signal.SIGKILL}
        return status != 0

    return run
