"""Partitions by DuckDB, an instance for each or for a batch, into a lake on disk or on S3."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

INCLUDE = Path(os.environ["CHAOS_INCLUDE"])
AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}


def load(size):
    partitions = product(origin=["EWR", "JFK", "LGA"], date=date_range("2013-01-01", "{{ params.last_day }}"))
    loaded = DuckDBPartitionOperator.partial(
        task_id="load",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target="{{ params.target }}",
        aws_conn_id="{{ params.aws_conn_id or '' }}",
        map_index_template=label("{origin} {date}"),
        memory_limit="300MiB",
    ).expand(partition=partitions if size is None else batches(partitions, batch_size=size))
    collect(loaded)


def lake(dag_id, size):
    @dag(
        dag_id=dag_id,
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        default_args=AGAIN,
        max_active_tasks=64,
        template_searchpath=str(INCLUDE),
        params={
            "last_day": "2013-01-31",
            "target": Param("", type="string"),
            "aws_conn_id": Param(None, type=["null", "string"]),
        },
    )
    def loaded():
        load(size)

    return loaded()


one_by_one = lake("chaos_lake", None)
in_batches = lake("chaos_lake_in_batches", 8)
