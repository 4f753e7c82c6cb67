"""Process each partition in its own virtual environment: DuckDB is not installed where Airflow is.

Generators and labels work with any task. Here the task is a plain `@task.virtualenv` function. A worker builds its
environment once, and keeps it in `venv_cache_path`.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.configuration import AIRFLOW_HOME

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

from airflow_mapping_kit.generators import product
from airflow_mapping_kit.labels import label

SOURCE = Path(__file__).resolve().parents[1] / "include" / "data" / "flights-2013-01.csv.gz"


@dag(
    dag_display_name="Delays: each origin and carrier in a virtual environment",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "virtualenv"],
    doc_md=__doc__,
)
def delays_virtualenv():
    @task.virtualenv(
        task_display_name="Mean delay of one origin and carrier",
        requirements=["duckdb>=1.2,<2"],
        venv_cache_path=f"{AIRFLOW_HOME}/venvs",
        map_index_template=label("{origin} {carrier}"),
    )
    def mean_delay(partition: dict, source: str) -> dict:
        import duckdb

        rows = duckdb.execute(
            """
            SELECT count(*), avg(arr_delay)
            FROM read_csv($source, nullstr = 'NA')
            WHERE origin = $origin AND carrier = $carrier
            """,
            {**partition, "source": source},
        ).fetchall()
        flights, delay = rows[0]
        return {**partition, "flights": flights, "mean_arrival_delay_minutes": round(delay, 1)}

    pairs = product(origin=["EWR", "JFK", "LGA"], carrier=["B6", "DL", "UA"])
    mean_delay.partial(source=str(SOURCE)).expand(partition=pairs)


delays_virtualenv()
