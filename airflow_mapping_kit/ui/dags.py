"""The overview: the DAGs that have partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import dag_rows, mapped_dag_ids, own_session
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.who import NOT_SIGNED_IN

if TYPE_CHECKING:
    from airflow_mapping_kit.ui.who import Who


def dags(who: Who) -> dict[str, Any]:
    """Return the DAGs that have partitions and that a user may see.

    :return: `{"dags": [{"id", "name", "paused", "counts", "partitions", "newest", "tasks"}], "pending": n}`.
    :raises Refused: 401 to nobody.
    """
    may = who.readable()
    if not (may or who.signed_in):
        raise Refused(*NOT_SIGNED_IN)
    with own_session() as session:
        rows = dag_rows(mapped_dag_ids(), session)
    seen = [
        row
        for row in rows
        if row.dag_id in may
        and not row.gone
        and who.can("GET", "TASK_INSTANCE", row.dag_id)
        and who.can("GET", "RUN", row.dag_id)
    ]
    return {
        "dags": [
            {
                "id": row.dag_id,
                "name": row.name,
                "paused": row.paused,
                "counts": None,
                "partitions": 0,
                "newest": None,
                "tasks": 0,
            }
            for row in seen
        ],
        "pending": 0,
    }
