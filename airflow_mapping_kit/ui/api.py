"""What the page asks, whichever web framework Airflow has: a user and what is asked in, what becomes JSON out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.ui.dags import dags
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.stored import stored
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.ui.asked import Action, Query
    from airflow_mapping_kit.ui.who import Who

__all__ = ["dags", "partitions", "piece", "preview", "redrive"]


def partitions(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return the matrix of a DAG's partitions."""
    rights(who, dag_id)
    query.runs()
    stored(dag_id)
    raise Refused(503, "Not here yet.")


def piece(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return what became of one partition in every run that had it."""
    rights(who, dag_id)
    query.texts("value")
    stored(dag_id)
    raise Refused(503, "Not here yet.")


def preview(who: Who, dag_id: str, wanted: Action) -> dict[str, Any]:
    """Return what an action would do."""
    rights(who, dag_id)
    stored(dag_id)
    raise Refused(503, f"Not here yet: {wanted.what}.")


def redrive(who: Who, dag_id: str, wanted: Action) -> dict[str, Any]:
    """Do what a preview showed, if it still is so."""
    may = rights(who, dag_id)
    if not (may.start if wanted.what == "missing" else may.clear):
        raise Refused(403, MAY_NOT_START if wanted.what == "missing" else MAY_NOT_CLEAR)
    stored(dag_id)
    raise Refused(503, "Not here yet.")


MAY_NOT_CLEAR = "You may not clear task instances of this DAG, so nothing was done."
MAY_NOT_START = "You may not trigger runs of this DAG, so nothing was done."
