"""What the page asks, whichever web framework Airflow has: a user and what is asked in, what becomes JSON out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import history
from airflow_mapping_kit.history.listed import LIMIT
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.dags import dags
from airflow_mapping_kit.ui.matrix import matrix
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.selected import selected
from airflow_mapping_kit.ui.stored import stored
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.ui.asked import Action, Query
    from airflow_mapping_kit.ui.who import Who

# The DAG as it is stored, and what Airflow says of it.
_OWN_QUERIES = 2

__all__ = ["dags", "partitions", "piece", "preview", "redrive"]


def partitions(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return the matrix of a DAG's partitions.

    :raises Refused: 404, where there is no such DAG, mapped task or run.
    """
    began = time.perf_counter()
    may = rights(who, dag_id)
    limit = query.runs()
    dag, row = stored(dag_id)
    found = looked_at(dag, query.text("task"), query.text("run"), limit)
    return {
        **matrix(found, row, may),
        "selection": selected(found, query.text("select")),
        "queries": found.queries + _OWN_QUERIES,
        "ms": round(1000 * (time.perf_counter() - began)),
    }


def looked_at(dag: Any, task: str | None, run: str | None, limit: int = LIMIT) -> History:
    """Return the history of a DAG.

    :raises Refused: 404, where there is no such mapped task or run.
    """
    try:
        return history(dag, task, run, limit)
    except PlanError as error:
        raise Refused(404, one_line(error)) from error


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
