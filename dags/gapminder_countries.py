"""One partition per country and year. The countries are known only when the DAG runs.

The DAG reads the countries of a continent from a table, and combines each of them with every year.
Each combination is a partition. No partition has a date.
"""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import pendulum

try:
    from airflow.sdk import BaseHook, Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param

from airflow_mapping_kit.generators import product, sql_rows
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

INCLUDE = Path(__file__).resolve().parents[1] / "include"
SOURCE = INCLUDE / "data" / "gapminder.csv"
CONNECTION = "warehouse"


@dag(
    dag_display_name="Gapminder: every country of a continent × every year",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    catchup=False,
    template_searchpath=str(INCLUDE),
    params={
        "continent": Param("Oceania", enum=["Africa", "Americas", "Asia", "Europe", "Oceania"]),
        "target": Param(str(INCLUDE / "lake" / "gapminder"), type="string"),
    },
    tags=["example", "duckdb", "product"],
    doc_md=__doc__,
)
def gapminder_countries():
    @task(task_display_name="Fill the table of countries")
    def fill_countries() -> int:
        with SOURCE.open(newline="") as file:
            countries = sorted({(row["country"], row["continent"]) for row in csv.DictReader(file)})
        with (
            closing(BaseHook.get_connection(CONNECTION).get_hook().get_conn()) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("CREATE TABLE IF NOT EXISTS countries (country TEXT PRIMARY KEY, continent TEXT)")
            cursor.executemany("INSERT INTO countries VALUES (%s, %s) ON CONFLICT DO NOTHING", countries)
            connection.commit()
        return len(countries)

    rows = sql_rows.override(task_id="countries")(
        CONNECTION,
        "SELECT country FROM countries WHERE continent = %(continent)s ORDER BY country",
        parameters={"continent": "{{ params.continent }}"},
    )
    fill_countries() >> rows
    partitions = product(country=rows.map(lambda row: row["country"]), year=list(range(1952, 2008, 5)))

    DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Load one country and year",
        sql="sql/gapminder.sql",
        parameters={"source": str(SOURCE)},
        target="{{ params.target }}",
        map_index_template=label("{country} {year}"),
    ).expand(partition=partitions)


gapminder_countries()
