"""Load New York's flights each day, and fill the gaps of the thirty days before.

A file came late, a run never started, or somebody deleted a partition: the DAG looks at the lake to find what is
missing. Beside its own day, a run loads at most twelve missing partitions, the oldest first.
Trigger it with mode `custom` and `only` to load what is missing, or what failed last time, of any range of days.
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
from airflow_mapping_kit.generators import lake_partitions
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions

INCLUDE = Path(__file__).resolve().parents[1] / "include"


# [START gaps]
@dag(
    dag_display_name="Flights: fill the gaps",
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    # Two runs at once would both find the same gaps.
    max_active_runs=1,
    template_searchpath=str(INCLUDE),
    params={
        **reload_params(only=True, origin=["EWR", "JFK", "LGA"]),
        "target": Param(
            str(INCLUDE / "lake" / "flights_gaps"),
            type="string",
            description="A local directory or s3://bucket/prefix",
        ),
        "aws_conn_id": Param("aws_default", type="string", description="The connection for an s3:// target"),
    },
    tags=["example", "duckdb", "reload"],
    doc_md=__doc__,
)
def flights_gaps():
    target, connection = "{{ params.target }}", "{{ params.aws_conn_id }}"
    to_load = reload_partitions(
        there=lake_partitions(target, aws_conn_id=connection),
        only="missing",
        lookback=30,
        at_most=12,
    )
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Load one origin and day",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target=target,
        aws_conn_id=connection,
        map_index_template=label("{origin} {date}"),
    ).expand(partition=to_load)
    collect(load, task_display_name="What became of every partition")


# [END gaps]


flights_gaps()
