"""Where the pages of Airflow's web UI are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return _url(f"{OWN}/dags/{quote(dag_id, safe='')}", query)


def runs_url(dag_id: str, *, run_id_prefix: str, state: str = "") -> str:
    """Return the address of Airflow's list of the runs of a DAG whose ids begin alike, or of those in a state.

    Example: `runs_url("ship_order", run_id_prefix="per_item__shop__manual__1__", state="failed")` gives on Airflow 3
    `https://airflow.example.com/dags/ship_order/runs?run_id_pattern=per_item__shop__manual__1__&state=failed`.
    """
    if AIRFLOW_3:
        query = {"run_id_pattern": run_id_prefix, **({"state": state} if state else {})}
        return _url(f"dags/{quote(dag_id, safe='')}/runs", query)
    # What begins with something is Flask AppBuilder's filter 0 of a text, what equals it 3.
    query = {"_flt_3_dag_id": dag_id, "_flt_0_run_id": run_id_prefix}
    return _url("dagrun/list/", {**query, **({"_flt_3_state": state} if state else {})})


def rendered_field(ti_key: Any, name: str) -> Any:
    """Return a template field of an instance as its task had it, `None` where Airflow 2 keeps it no more."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields

    return (RenderedTaskInstanceFields.get_templated_fields(ti_key) or {}).get(name)


def _url(path: str, query: Mapping[str, str]) -> str:
    from airflow.configuration import conf

    base: Any = conf.get("api" if AIRFLOW_3 else "webserver", "base_url", fallback="") or ""
    text = urlencode(query)
    return f"{base.rstrip('/')}/{path}{f'?{text}' if text else ''}"
