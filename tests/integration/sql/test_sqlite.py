"""SQLPartitionOperator and publish on SQLite, which has one writer at a time."""

from __future__ import annotations

import json
import sqlite3

import pytest

from airflow_mapping_kit.compat import AirflowFailException
from airflow_mapping_kit.tables.formats import look, publish
from airflow_mapping_kit.tables.staged import run_of

RUN = run_of("none", "run", "load")
SQL = "SELECT number FROM raw WHERE origin IS :origin AND date = :date AND note <> 'at 10:30 %'"
PLAN = [{"origin": origin, "date": f"2013-01-0{day}"} for origin in ("EWR", None) for day in (1, 2)]


@pytest.fixture
def sqlite(tmp_path, monkeypatch):
    path = str(tmp_path / "a.db")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": path}))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE flights (origin TEXT, date TEXT, number INT)")
    connection.execute("CREATE TABLE raw (origin TEXT, date TEXT, number INT, note TEXT)")
    rows = [(one["origin"], one["date"], number, "") for one in PLAN for number in range(3)]
    connection.executemany("INSERT INTO raw VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO flights VALUES ('EWR', '2013-01-01', 99), ('JFK', '2013-01-01', 98)")
    yield connection
    connection.close()


def counts(sqlite):
    return sqlite.execute(
        "SELECT origin, date, count(*), sum(number) FROM flights GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()


EXPECTED = [
    (None, "2013-01-01", 3, 3),
    (None, "2013-01-02", 3, 3),
    ("EWR", "2013-01-01", 3, 3),
    ("EWR", "2013-01-02", 3, 3),
]


def test_partitions_are_replaced_one_by_one_and_many_writers_wait_for_one_another(sqlite, load, at_once):
    done = at_once(*(lambda partition=partition: load(partition, SQL) for partition in PLAN * 2))
    assert sorted(one["rows"] for one in done) == [3] * 8
    assert counts(sqlite) == [*EXPECTED, ("JFK", "2013-01-01", 1, 98)]
    with pytest.raises(
        AirflowFailException, match="3 of the query's 6 rows belong to other partitions, such as "
    ):
        load(PLAN[0], "SELECT origin, date, number FROM raw WHERE date = :date OR origin = :origin AND 0")
    with pytest.raises(AirflowFailException, match=r"no such table: main.flihgts(?s:.*)near: 'flights'"):
        load(PLAN[0], SQL, "main.flihgts")
    assert counts(sqlite) == [*EXPECTED, ("JFK", "2013-01-01", 1, 98)]


def test_all_that_was_staged_is_published_at_once_and_once(sqlite, load):
    table = look("sql", {"name": "flights", "conn_id": "warehouse"}, {})
    pieces = [load(partition, SQL, table) for partition in PLAN]
    assert counts(sqlite) == [("EWR", "2013-01-01", 1, 99), ("JFK", "2013-01-01", 1, 98)]
    for replaced in (1, 0):
        done = publish(table, pieces, RUN)
        assert (done["rows"], done["replaced_rows"]) == (12, replaced)
        assert counts(sqlite) == [*EXPECTED, ("JFK", "2013-01-01", 1, 98)]
    names = "SELECT name FROM sqlite_master WHERE name LIKE 'mapping_kit_%'"
    assert sqlite.execute(names).fetchall() == [("mapping_kit_published",)]


def test_start_and_end_are_text_of_utc_as_sqlite_writes_moments(sqlite, load):
    sqlite.execute("CREATE TABLE moments (at TEXT, number INT)")
    rows = [
        ("2024-11-03 03:59:59", 1),
        ("2024-11-03 04:00:00", 2),
        ("2024-11-04 04:59:59", 3),
        ("2024-11-04 05:00:00", 4),
    ]
    sqlite.executemany("INSERT INTO moments VALUES (?, ?)", rows)
    sql = "SELECT :origin AS origin, number FROM moments WHERE at >= :start AND at < :end"
    load({"origin": "EWR", "date": "2024-11-03"}, sql, timezone="America/New_York")
    assert sqlite.execute("SELECT number FROM flights WHERE date = '2024-11-03' ORDER BY 1").fetchall() == [
        (2,),
        (3,),
    ]
