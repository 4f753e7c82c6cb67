"""Labels that the scheduler writes itself.

As a run starts, those of the instances that are made with it; as it ends, those that were lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.guarded import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# So many labels go into one statement.
_CHUNK = 500


@hookimpl
@guarded
def on_dag_run_running(dag_run: Any) -> None:
    """Label the instances that are mapped over literals: they are made with their run, past the policy."""
    from airflow_mapping_kit.pieces import early_labels

    planned = {task.task_id: list(early_labels.of_literals(task)) for task in dag_run.get_dag().tasks}
    labels = {
        (task_id, map_index): label
        for task_id, of_task in planned.items()
        for map_index, label in enumerate(of_task)
    }
    _label(dag_run, [task_id for task_id, of_task in planned.items() if of_task], labels.get)


@guarded
def _label_again(dag_run: Any) -> None:
    from airflow_mapping_kit.pieces import early_labels

    dag = dag_run.get_dag()

    def label(place: tuple[str, int]) -> str | None:
        task_id, map_index = place
        return early_labels.of_instance(
            dag.get_task(task_id), dag_id=dag_run.dag_id, run_id=dag_run.run_id, map_index=map_index
        )

    labelled = [task.task_id for task in dag.tasks if early_labels.is_labelled(task)]
    _label(dag_run, labelled, label, states=("success", "failed"))


def _label(
    dag_run: Any,
    task_ids: Collection[str],
    label: Callable[[tuple[str, int]], str | None],
    *,
    states: Collection[str] = (),
) -> None:
    """Write the labels of the instances that have none.

    :param label: gives that of a task id and a map index.
    :param states: of the instances in these states alone.
    """
    from airflow_mapping_kit.pieces import early_labels

    if not task_ids or not early_labels.enabled():
        return
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import case, select, update

    from airflow_mapping_kit.compat import own_session

    table = TaskInstance.__table__
    run = (table.c.dag_id == dag_run.dag_id, table.c.run_id == dag_run.run_id)
    nameless = (
        select(table.c.task_id, table.c.map_index)
        .where(*run, table.c.task_id.in_(task_ids), table.c.map_index >= 0)
        .where(table.c.rendered_map_index.is_(None))
        # The scheduler is in the midst of a transaction, for which somebody may wait who holds such a row.
        .with_for_update(skip_locked=True)
    )
    if states:
        nameless = nameless.where(table.c.state.in_(states))
    with own_session() as session:
        found: dict[str, dict[int, str]] = {}
        for task_id, map_index in session.execute(nameless).all():
            text = label((task_id, map_index))
            if text is not None:
                found.setdefault(task_id, {})[map_index] = text
        for task_id, labels in found.items():
            for start in range(0, len(labels), _CHUNK):
                part = dict(list(labels.items())[start : start + _CHUNK])
                session.execute(
                    update(table)
                    .where(*run, table.c.task_id == task_id, table.c.map_index.in_(part))
                    .values(rendered_map_index=case(part, value=table.c.map_index))
                )


if AIRFLOW_3:
    # Of an instance whose process is killed Airflow 3 deletes the label that it had: its supervisor reports none.
    @hookimpl
    def on_dag_run_failed(dag_run: Any) -> None:
        """Label the instances again that were killed."""
        _label_again(dag_run)

    @hookimpl
    def on_dag_run_success(dag_run: Any) -> None:
        """Label the instances again that were killed."""
        _label_again(dag_run)
