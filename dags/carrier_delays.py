"""Process only what has changed: one DAG loads partitions, and another DAG follows them.

`carrier_flights` loads any origins and days. When all of them have ended, its fan-in says which partitions of the
asset have changed. This starts `carrier_delays`, which computes the mean delay of each carrier for these partitions.
"""

from __future__ import annotations

from pathlib import Path

import pendulum

try:
    from airflow.sdk import Asset, dag
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag

from airflow_mapping_kit.assets import changed_partitions
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.partitions import parse_partition_key
from airflow_mapping_kit.reload import reload_params, reload_partitions

INCLUDE = Path(__file__).resolve().parents[1] / "include"
START = pendulum.datetime(2013, 1, 1)
TAGS = ["example", "duckdb", "assets"]

FLIGHTS = Asset("carrier_flights")


# [START load]
@dag(
    dag_display_name="Changed partitions: load flights",
    schedule=None,
    start_date=START,
    template_searchpath=str(INCLUDE),
    params=reload_params(origin=["EWR", "JFK", "LGA"]),
    tags=TAGS,
    doc_md=__doc__,
)
def carrier_flights():
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Load one origin and day",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target=str(INCLUDE / "lake" / "carrier_flights"),
        map_index_template=label("{origin} {date}"),
    ).expand(partition=reload_partitions())
    # One event when all are done. If `load` had the outlet, each instance would start the other DAG.
    collect(load, task_display_name="Tell what has changed", outlets=[FLIGHTS])


# [END load]


# [START changed]
@generator
def changed():
    return [parse_partition_key(key) for key in changed_partitions()]


# [END changed]


# [START follow]
@dag(
    dag_display_name="Changed partitions: delays of carriers",
    schedule=[FLIGHTS],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=TAGS,
    doc_md=__doc__,
)
def carrier_delays():
    reckon = DuckDBPartitionOperator.partial(
        task_id="reckon",
        task_display_name="Delays of one origin and day",
        sql="""
            SELECT carrier, count(*) AS flights, round(avg(arr_delay), 1) AS mean_delay
            FROM read_parquet($flights || '/**/*.parquet', hive_partitioning = true)
            WHERE origin = $origin AND date = $date::DATE
            GROUP BY carrier ORDER BY carrier
        """,
        parameters={"flights": str(INCLUDE / "lake" / "carrier_flights")},
        target=str(INCLUDE / "lake" / "carrier_delays"),
        map_index_template=label("{origin} {date}"),
    ).expand(partition=changed())
    collect(reckon, task_display_name="What became of every partition")


# [END follow]


carrier_flights()
carrier_delays()
