"""Load New York's flights into an Iceberg table: sixteen writers at once, and one commit for all of them.

A scheduled run loads its own day. To load partitions again, trigger it with mode `custom`, two dates and the origins:
a whole year is sixteen instances. Each stages its partitions where no reader sees them. One task publishes all that
succeeded as one snapshot. Failed partitions keep their old data, and readers see all of the old or all of the new.
"""

from __future__ import annotations

from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import publish
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflow_mapping_kit.tables import iceberg_table

INCLUDE = Path(__file__).resolve().parents[1] / "include"


# [START table]
@dag(
    dag_display_name="Flights: a table, one commit",
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    template_searchpath=str(INCLUDE),
    params={
        **reload_params(origin=["EWR", "JFK", "LGA"]),
        "source": Param(
            str(INCLUDE / "data" / "flights-2013.parquet"), type="string", description="Parquet files"
        ),
        "aws_conn_id": Param(
            "aws_default", type="string", description="The connection for a table whose files are in S3"
        ),
        "tolerated": Param(
            5, type="number", minimum=0, maximum=100, description="How many of a hundred partitions may fail"
        ),
    },
    tags=["example", "duckdb", "iceberg", "reload"],
    doc_md=__doc__,
)
def flights_table():
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Stage partitions",
        sql="sql/flights_of_2013.sql",
        parameters={"source": "{{ params.source }}"},
        target=iceberg_table("lake.flights", iceberg_conn_id="lake"),
        aws_conn_id="{{ params.aws_conn_id }}",
        map_index_template=label("{origin} {date}"),
    ).expand(partition=batches(reload_partitions(), batch_size=69))
    publish(
        load,
        tolerated_failure_percentage="{{ params.tolerated }}",
        task_display_name="Publish all in one commit",
    )


# [END table]


flights_table()
