"""SQLPartitionOperator and publish over Snowflake's protocol, through the provider's hook."""

from __future__ import annotations

import json

import pendulum
import pytest

import instances
from airflow_mapping_kit.operators.sql import SQLPartitionOperator
from airflow_mapping_kit.tables.formats import look, publish
from airflow_mapping_kit.tables.staged import run_of
from airflows import DAG, AirflowFailException

RUN = run_of("none", "run", "load")
SQL = "SELECT number, delay FROM raw WHERE origin = %(origin)s AND day = %(day)s AND number %% 1 = 0"
PLAN = [
    {"origin": "EWR", "day": "2013-01-01"},
    {"origin": "JFK", "day": "2013-01-01"},
    {"origin": None, "day": "2013-01-01"},
]


@pytest.fixture
def flights(warehouse):
    warehouse.sql(
        'CREATE TABLE reports (origin VARCHAR, day DATE, number INT, delay DOUBLE, "mixed Case" INT)'
    )
    warehouse.sql("CREATE TABLE raw (origin VARCHAR, day DATE, number INT, delay DOUBLE)")
    warehouse.sql(
        "INSERT INTO raw VALUES ('EWR', '2013-01-01', 1, 0.5), ('EWR', '2013-01-01', 2, 1.5), "
        "('EWR', '2013-01-02', 3, 0), ('JFK', '2013-01-01', 4, 0)"
    )
    warehouse.sql(
        "INSERT INTO reports VALUES ('EWR', '2013-01-01', 99, 0, 1), ('LGA', '2013-01-01', 98, 0, 1)"
    )

    def load(partition, table="reports", sql=SQL, **arguments):
        with DAG("loads", schedule=None, start_date=pendulum.datetime(2013, 1, 1)):
            operator = SQLPartitionOperator(
                task_id="load",
                sql=sql,
                partition=partition,
                table=table,
                conn_id="snowflake_default",
                **arguments,
            )
        return type(operator).execute.__wrapped__(operator, {"ti": instances.INSTANCE, "task": operator})

    warehouse.fly = load
    return warehouse


def found(warehouse):
    return sorted(warehouse.sql("SELECT COALESCE(origin, '-'), TO_VARCHAR(day), number FROM reports"))


def test_a_partition_is_replaced_in_one_transaction(flights):
    done = flights.fly(PLAN[0])
    assert done == {"key": "day=2013-01-01/origin=EWR", "table": "reports", "rows": 2, "replaced_rows": 1}
    assert found(flights) == [("EWR", "2013-01-01", 1), ("EWR", "2013-01-01", 2), ("LGA", "2013-01-01", 98)]
    # The last hour of the day in New York is in the next one in UTC.
    moments = "DATEADD(hour, 28, day::TIMESTAMP_NTZ)::TIMESTAMP_TZ"
    sql = f"SELECT number, delay FROM raw WHERE origin = %(origin)s AND {moments} >= %(start)s AND {moments} < %(end)s"
    period = {"date_dimension": "day", "timezone": "America/New_York"}
    assert flights.fly({**PLAN[0], "day": "2013-01-02"}, sql=sql, **period)["rows"] == 1
    assert flights.fly(PLAN[0], sql=sql, **period)["replaced_rows"] == 2
    assert [row[2] for row in found(flights)] == [1, 2, 3, 98]


def test_a_row_of_another_partition_takes_all_of_it_back(flights):
    before = found(flights)
    with pytest.raises(
        AirflowFailException, match=r"1 of the query's 3 rows belong to other partitions, such as .*JFK"
    ):
        flights.fly(PLAN[0], sql="SELECT * FROM raw WHERE origin IN ('JFK', %(origin)s) AND day = %(day)s")
    assert found(flights) == before


def test_columns_are_found_without_regard_to_case_and_spelled_as_the_table_does(flights):
    flights.fly(PLAN[0], sql='SELECT 7 AS "mixed Case" FROM raw WHERE origin = %(origin)s AND day = %(day)s')
    assert flights.sql("SELECT DISTINCT \"mixed Case\" FROM reports WHERE origin = 'EWR'") == [(7,)]
    with pytest.raises(AirflowFailException, match=r"the table reportz(?s:.*)near: 'REPORTS'"):
        flights.fly(PLAN[0], "reportz")


def test_all_that_was_staged_is_published_at_once_and_once(flights):
    before = found(flights)
    table = look("sql", {"name": "reports", "conn_id": "snowflake_default"}, {})
    none = "SELECT number, delay FROM raw WHERE number = 4 AND day = %(day)s"
    pieces = [
        flights.fly(PLAN[0], table),
        flights.fly(PLAN[1], table),
        flights.fly(PLAN[2], table, none, unused=["origin"]),
    ]
    assert found(flights) == before
    done = publish(table, pieces, RUN)
    assert (done["rows"], done["replaced_rows"]) == (4, 1)
    after = [
        ("-", "2013-01-01", 4),
        ("EWR", "2013-01-01", 1),
        ("EWR", "2013-01-01", 2),
        ("JFK", "2013-01-01", 4),
        ("LGA", "2013-01-01", 98),
    ]
    assert found(flights) == after
    assert publish(table, pieces, RUN)["replaced_rows"] == 0
    assert found(flights) == after
    names = {row[1] for row in flights.sql("SHOW TABLES")}
    assert {name for name in names if "mapping_kit" in name.lower()} == {"MAPPING_KIT_PUBLISHED"}


def test_a_login_that_is_refused_is_not_tried_again_which_would_lock_the_user_out(
    flights, snowflake, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(snowflake.connection(password="wrong")))
    with pytest.raises(
        AirflowFailException, match=r"refuses the connection 'snowflake_default': .*Incorrect username"
    ):
        flights.fly(PLAN[0])
