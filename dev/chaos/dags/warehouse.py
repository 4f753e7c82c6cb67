"""Partitions of tables of PostgreSQL: replaced one by one, and all at once."""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_mapping_kit.fan_in import collect, publish
from airflow_mapping_kit.generators import date_range, product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.sql import SQLPartitionOperator
from airflow_mapping_kit.tables import sql_table

AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}
SQL = """
    SELECT number, pg_sleep(0.05)::TEXT AS slept
    FROM generate_series(1, 20) AS number
    WHERE %(origin)s::TEXT IS NOT NULL AND %(date)s::DATE IS NOT NULL
"""


def partitions():
    return product(origin=["EWR", "JFK"], date=date_range("2013-01-01", "{{ params.last_day }}"))


def replaced(table):
    return SQLPartitionOperator.partial(
        task_id="load",
        sql=SQL,
        table=table,
        map_index_template=label("{origin} {date}"),
        **({"conn_id": "chaos_warehouse"} if isinstance(table, str) else {}),
    ).expand(partition=partitions())


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params={"table": "", "last_day": "2013-01-10"},
)
def chaos_rows():
    collect(replaced("{{ params.table }}"))


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params={"table": "", "last_day": "2013-01-10"},
)
def chaos_published():
    table = sql_table("{{ params.table }}", conn_id="chaos_warehouse")
    publish(replaced(table))


chaos_rows()
chaos_published()
