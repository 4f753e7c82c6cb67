"""Keep a table of a warehouse up to date, one partition per origin and day, all of a run in one transaction.

Instances compute their partitions in the database, in parallel, and leave the rows in a staging table. One task
publishes all that succeeded at once: readers see all of the old rows or all of the new ones, even of a whole month.
"""

from __future__ import annotations

import csv
import gzip
import json
from contextlib import closing
from pathlib import Path

import pendulum

try:
    from airflow.sdk import BaseHook, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.hooks.base import BaseHook

from airflow_mapping_kit.fan_in import publish
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.sql import SQLPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflow_mapping_kit.tables import sql_table

INCLUDE = Path(__file__).resolve().parents[1] / "include"
SOURCE = INCLUDE / "data" / "flights-2013-01.csv.gz"
CONNECTION = "warehouse"
TABLES = """
    CREATE TABLE IF NOT EXISTS flights_by_carrier (
        date DATE, origin TEXT, carrier TEXT, flights BIGINT, mean_delay NUMERIC, PRIMARY KEY (date, origin, carrier)
    );
    CREATE TABLE IF NOT EXISTS flights_raw (date DATE, origin TEXT, carrier TEXT, delay INT);
    DELETE FROM flights_raw;
"""
FILL = """
    INSERT INTO flights_raw
    SELECT * FROM json_to_recordset(%s) AS flight(date DATE, origin TEXT, carrier TEXT, delay INT)
"""


@dag(
    dag_display_name="Flights: a table of a warehouse",
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    template_searchpath=str(INCLUDE),
    params=reload_params(origin=["EWR", "JFK", "LGA"]),
    tags=["example", "sql", "reload"],
    doc_md=__doc__,
)
def flights_warehouse():
    @task(task_display_name="Make the tables, and fill that of all flights")
    def fill_raw() -> int:
        with gzip.open(SOURCE, "rt", newline="") as file:
            flights = [
                {
                    "date": f"{row['year']}-{row['month']}-{row['day']}",
                    "origin": row["origin"],
                    "carrier": row["carrier"],
                    "delay": None if row["arr_delay"] == "NA" else row["arr_delay"],
                }
                for row in csv.DictReader(file)
            ]
        with (
            closing(BaseHook.get_connection(CONNECTION).get_hook().get_conn()) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute(TABLES)
            cursor.execute(FILL, [json.dumps(flights)])
            connection.commit()
        return len(flights)

    table = sql_table("flights_by_carrier", conn_id=CONNECTION, task_display_name="Look the table up")
    fill_raw() >> table
    load = SQLPartitionOperator.partial(
        task_id="load",
        task_display_name="Reckon one origin and day",
        sql="sql/flights_by_carrier.sql",
        table=table,
        map_index_template=label("{origin} {date}"),
    ).expand(partition=reload_partitions())
    publish(load, task_display_name="Publish all of them at once", tolerated_failure_percentage=5)


flights_warehouse()
