"""Two days of flights by schedule."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.configuration import AIRFLOW_HOME

from airflow_mapping_kit.compat import AIRFLOW_3, dag
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions

# The tests copy this file beside the project's own DAGs.
INCLUDE = Path(__file__).resolve().parents[1] / "include"
# Airflow 3 calls a run by the day on which it is due, that is the one after the day that it is to load.
FIRST = pendulum.datetime(2013, 1, 2 if AIRFLOW_3 else 1, 3)


@dag(
    # Three hours after the day has ended, when the source has all of it.
    schedule="0 3 * * *",
    start_date=FIRST,
    end_date=FIRST.add(days=1),
    catchup=True,
    template_searchpath=str(INCLUDE),
    params=reload_params(origin=["EWR", "JFK", "LGA"]),
)
def scheduled_flights():
    DuckDBPartitionOperator.partial(
        task_id="load",
        sql="sql/flights.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        target=f"{AIRFLOW_HOME}/lake/scheduled",
        map_index_template=label("{origin} {date}"),
    ).expand(partition=reload_partitions())


scheduled_flights()
