"""Partitions that DuckDB stages in batches for an Iceberg table, and one snapshot of all of them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pendulum

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_mapping_kit.fan_in import publish
from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables import iceberg_table

INCLUDE = Path(os.environ["CHAOS_INCLUDE"])
# More than faults: each of them may hit the same instance.
AGAIN = {"retries": 8, "retry_delay": timedelta(seconds=1)}


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    template_searchpath=str(INCLUDE),
    params={"table": "", "source": "", "last_day": "2013-01-05"},
)
def chaos_table():
    partitions = product(origin=["EWR", "JFK", "LGA"], date=date_range("2013-01-01", "{{ params.last_day }}"))
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        sql="sql/flights_of_2013.sql",
        parameters={"source": "{{ params.source }}"},
        target=iceberg_table("{{ params.table }}", iceberg_conn_id="chaos_catalog"),
        aws_conn_id="chaos_s3",
        map_index_template=label("{origin} {date}"),
        memory_limit="300MiB",
    ).expand(partition=batches(partitions, batch_size=3))
    publish(load)


chaos_table()
