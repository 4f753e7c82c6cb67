"""Where the pages of Airflow's web UI are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from airflow_mapping_kit.compat.names import AIRFLOW_3

# Relative to where Airflow is. Airflow 2's grid finds a run only among those that it shows: the newest, or those
# up to a date.
PAGES = (
    {
        "dag": "dags/{dag}",
        "run": "dags/{dag}/runs/{run}",
        "log": "dags/{dag}/runs/{run}/tasks/{task}/mapped/{index}?try_number={try}",
    }
    if AIRFLOW_3
    else {
        "dag": "dags/{dag}/grid",
        "run": "dags/{dag}/grid?dag_run_id={run}&base_date={date}",
        "log": "dags/{dag}/grid?dag_run_id={run}&base_date={date}&task_id={task}&map_index={index}&tab=logs",
    }
)

# Where the kit's own page is. Airflow 2's views have no minus in their names.
OWN = "mapping-kit" if AIRFLOW_3 else "mapping_kit"


def partitions_url(dag_id: str, **query: str) -> str:
    """Return the address of the page *Partitions* of a DAG.

    :param query: what it is to show.
    :return: as Airflow is configured, `[webserver] base_url` or `[api] base_url`; from the root where it isn't.

    Example: `partitions_url("flights", run="manual__1", show="fbu")` gives
    `https://airflow.example.com/mapping_kit/dags/flights?run=manual__1&show=fbu`.
    """
    from airflow.configuration import conf

    base: Any = conf.get("api" if AIRFLOW_3 else "webserver", "base_url", fallback="") or ""
    text = urlencode(query)
    return f"{base.rstrip('/')}/{OWN}/dags/{quote(dag_id, safe='')}{f'?{text}' if text else ''}"
