"""A look at a DAG's partitions, as its runs have left them by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import history
from airflow_mapping_kit.history.listed import LIMIT
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.stored import stored

if TYPE_CHECKING:
    from airflow_mapping_kit.compat import DagRow
    from airflow_mapping_kit.history import History


def looked_at(dag_id: str, task: str | None, run: str | None, limit: int = LIMIT) -> tuple[History, DagRow]:
    """Return the history of a DAG, and what Airflow says of the DAG.

    :raises Refused: 404, where there is no such DAG, mapped task or run.
    """
    dag, row = stored(dag_id)
    try:
        return history(dag, task, run, limit), row
    except PlanError as error:
        raise Refused(404, one_line(error)) from error
