"""What the page asks, whichever web framework Airflow has: a user and what is asked in, what becomes JSON out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.ui.actions import preview, redrive
from airflow_mapping_kit.ui.dags import dags
from airflow_mapping_kit.ui.looked import looked_at
from airflow_mapping_kit.ui.matrix import matrix
from airflow_mapping_kit.ui.selected import selected
from airflow_mapping_kit.ui.settings import set_, settings
from airflow_mapping_kit.ui.turns import piece
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.ui.asked import Query
    from airflow_mapping_kit.ui.who import Who

__all__ = ["dags", "partitions", "piece", "preview", "redrive", "set_", "settings"]

# The DAG as it is stored, and what Airflow says of it.
_OWN_QUERIES = 2


def partitions(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return the matrix of a DAG's partitions.

    :raises Refused: 404, where there is no such DAG, mapped task or run.
    """
    began = time.perf_counter()
    may = rights(who, dag_id)
    found, row = looked_at(dag_id, query.text("task"), query.text("run"), query.runs())
    return {
        **matrix(found, row, may),
        "selection": selected(found, query.text("select")),
        "queries": found.queries + _OWN_QUERIES,
        "ms": round(1000 * (time.perf_counter() - began)),
    }
