"""Load New York's flights, one partition per origin and day: by schedule, or any range of them on demand.

This DAG does the work of three: the daily one, the one that reloads a range, and the one per origin.
To load partitions again, trigger it with mode `custom`, two dates and the origins. Each is replaced as a whole.
"""

from __future__ import annotations

from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions

INCLUDE = Path(__file__).resolve().parents[1] / "include"


# [START reload]
@dag(
    dag_display_name="Flights: daily, reload and per origin in one",
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    template_searchpath=str(INCLUDE),
    params={
        **reload_params(origin=["EWR", "JFK", "LGA"]),
        "target": Param(
            str(INCLUDE / "lake" / "flights"),
            type="string",
            description="A local directory or s3://bucket/prefix",
        ),
        "aws_conn_id": Param("aws_default", type="string", description="The connection for an s3:// target"),
    },
    tags=["example", "duckdb", "reload"],
    doc_md=__doc__,
)
def flights_reload():
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Load one origin and day",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target="{{ params.target }}",
        aws_conn_id="{{ params.aws_conn_id }}",
        map_index_template=label("{origin} {date}"),
    ).expand(partition=reload_partitions())
    collect(load, task_display_name="What became of every partition")


# [END reload]


flights_reload()
