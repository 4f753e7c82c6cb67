from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.decorators import dag

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions

INCLUDE = Path(__file__).resolve().parents[1] / "include"


# [START dag]
@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    template_searchpath=str(INCLUDE),
    params=reload_params(origin=["EWR", "JFK", "LGA"]),
)
def flights():
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target=str(INCLUDE / "lake" / "first_hour"),
        map_index_template=label("{origin} {date}"),
    ).expand(partition=reload_partitions())
    collect(load)


# [END dag]


flights()
