"""Trigger and clear runs of Airflow 2, for `stack.commands`.

`airflow tasks clear` knows tasks and dates, but neither runs nor map indexes.
"""

from __future__ import annotations

from typing import Any

from airflow.api.common import trigger_dag
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils import timezone


def trigger(*, dag_id: str, run_id: str, conf: dict[str, Any], logical_date: str | None) -> None:
    """Trigger a run, of this moment or of a logical date."""
    trigger_dag.trigger_dag(
        dag_id,
        run_id=run_id,
        conf=conf,
        execution_date=None if logical_date is None else timezone.parse(logical_date),
        replace_microseconds=False,
    )


def clear(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int | None,
    only_failed: bool,
    downstream: bool,
) -> int:
    """Clear a task of a run, or one of its mapped instances; return how many were cleared."""
    dag = SerializedDagModel.get_dag(dag_id)
    if dag is None:
        raise LookupError(f"There is no DAG {dag_id!r}.")
    runs = DagRun.find(dag_id=dag_id, run_id=run_id)
    if not runs:
        raise LookupError(f"There is no run {run_id!r} of {dag_id!r}.")
    task = task_id if map_index is None else (task_id, map_index)
    after = dag.get_task(task_id).get_flat_relative_ids() if downstream else ()
    cleared: int = dag.clear(
        task_ids=[task, *after],
        start_date=runs[0].execution_date,
        end_date=runs[0].execution_date,
        only_failed=only_failed,
    )
    return cleared
