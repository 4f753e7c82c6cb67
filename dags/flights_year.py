"""Load a whole year of New York's flights: 1,095 partitions, an origin and a day each, in 22 batches.

Airflow maps over at most 1,024 pieces, and each instance costs it half a CPU second. Here an instance loads fifty
partitions, one after the other. Each is still published, named and reported on its own.
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
from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

INCLUDE = Path(__file__).resolve().parents[1] / "include"


@dag(
    dag_display_name="Flights: a year in batches",
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    template_searchpath=str(INCLUDE),
    params={
        "start": Param("2013-01-01", type="string", format="date"),
        "end": Param("2013-12-31", type="string", format="date"),
        "target": Param(str(INCLUDE / "lake" / "flights_2013"), type="string", description="A directory"),
    },
    tags=["example", "duckdb", "batches"],
    doc_md=__doc__,
)
def flights_year():
    partitions = product(
        origin=["EWR", "JFK", "LGA"],
        date=date_range("{{ params.start }}", "{{ params.end }}"),
    )
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        task_display_name="Load fifty partitions",
        sql="sql/flights_of_2013.sql",
        parameters={"source": str(INCLUDE / "data" / "flights-2013.parquet")},
        target="{{ params.target }}",
        map_index_template=label("{origin} {date}"),
    ).expand(partition=batches(partitions, batch_size=50))
    collect(load, task_display_name="What became of every partition")


flights_year()
