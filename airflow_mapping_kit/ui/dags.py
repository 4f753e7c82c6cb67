"""The overview: the DAGs that have partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.history.overview import overview
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.who import NOT_SIGNED_IN

if TYPE_CHECKING:
    from airflow_mapping_kit.ui.who import Who


def dags(who: Who) -> dict[str, Any]:
    """Return the DAGs that have partitions and that a user may see.

    :return: `{"dags": [{"id", "name", "paused", "counts", "partitions", "newest", "task", "tasks",
        "trouble"}], "pending": n}`, worst first.
    :raises Refused: 401 to nobody.
    """
    may = who.readable()
    if not (may or who.signed_in):
        raise Refused(*NOT_SIGNED_IN)
    found = overview(
        may, lambda dag_id: who.can("GET", "TASK_INSTANCE", dag_id) and who.can("GET", "RUN", dag_id)
    )
    return {"dags": [one.as_json() for one in found.dags], "pending": found.pending}
