"""sql_rows on PostgreSQL: rows as they come, from a cursor that stays on the server."""

from __future__ import annotations

import datetime
import json
import tracemalloc
from contextlib import closing

import pytest

from airflow_mapping_kit.compat import AirflowFailException
from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.generators import sql_rows
from airflow_mapping_kit.sources.queries import query_rows
from stack.postgres import Postgres
from stack.processes import Processes


class _Instance:
    map_index = -1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Processes() as processes:
        postgres = Postgres(processes, tmp_path_factory.mktemp("postgres") / "postgres.log")
        yield json.loads(postgres.make_database("warehouse"))


@pytest.fixture(params=["psycopg2", "psycopg"])
def session(server, request):
    driver = pytest.importorskip(request.param)
    session = driver.connect(host=server["host"], user=server["login"], dbname=server["schema"])
    yield session
    session.close()


@pytest.fixture
def plan(server, monkeypatch):
    """Return a function that runs `sql_rows` as Airflow would."""
    from airflows import DAG

    def run(sql, *, cursor=None, **kwargs):
        connection = {**server, "extra": {"cursor": cursor} if cursor else {}}
        monkeypatch.setenv("AIRFLOW_CONN_WH", json.dumps(connection))
        with DAG("plan", schedule=None, start_date=datetime.datetime(2024, 1, 1)):
            operator = sql_rows("wh", sql, **kwargs).operator
        return operator.execute({"ti": _Instance()})

    return run


def test_rows_come_in_batches_in_the_order_of_the_query(plan):
    rows = plan(
        "SELECT n, n::numeric / 4 AS quarter FROM generate_series(1, %(last)s) AS n ORDER BY n DESC",
        parameters={"last": 5},
        batch_size=2,
    )
    assert [[row["n"] for row in batch] for batch in rows] == [[5, 4], [3, 2], [1]]
    assert rows[0][0]["quarter"] == "1.2500000000000000"


def test_no_more_rows_are_in_memory_than_come_in_one_answer(session):
    rows = query_rows(session, "SELECT n, repeat('x', 100) AS x FROM generate_series(1, 100000) AS n", None)
    next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 99_999
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SHOW server_encoding", [{"server_encoding": "UTF8"}]),
        ("SELECT 1 AS n -- the one", [{"n": 1}]),
        ("VALUES (1), (2);", [{"column1": 1}, {"column1": 2}]),
        ("SELECT 1 AS n WHERE false", []),
    ],
)
def test_what_no_cursor_can_be_declared_for_is_read_all_the_same(session, sql, rows):
    assert list(query_rows(session, sql, None)) == rows


def test_a_statement_that_returns_no_rows_is_named(session):
    with pytest.raises(QueryError, match="needs a query that returns rows"):
        list(query_rows(session, "CREATE TEMPORARY TABLE t (a int)", None))


def test_several_statements_are_read_as_the_driver_has_them(server):
    session = pytest.importorskip("psycopg2").connect(
        host=server["host"], user=server["login"], dbname=server["schema"]
    )
    with closing(session):
        assert list(query_rows(session, "SET LOCAL work_mem TO '8MB'; SELECT 1 AS n", None)) == [{"n": 1}]


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_a_connection_may_say_what_its_rows_are(plan, cursor):
    assert plan("SELECT 1 AS a, 'x' AS b", cursor=cursor) == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 'NaN'::float8 AS x", "column 'x' holds nan"),
        ("SELECT ARRAY[1] AS x", r"column 'x' holds \[1\]"),
        ("SELECT 1 AS x, 2 AS x", "'x' more than once"),
    ],
)
def test_rows_that_are_no_pieces_fail_at_once(plan, sql, said):
    with pytest.raises(AirflowFailException, match=said):
        plan(sql)


def test_what_the_database_says_is_said(session):
    with pytest.raises(Exception, match='relation "nowhere" does not exist'):
        list(query_rows(session, "SELECT * FROM nowhere", None))
    session.rollback()
    with pytest.raises(Exception, match='syntax error at or near "SELEKT"'):
        list(query_rows(session, "SELEKT 1", None))
