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


@hookimpl
@guarded
def on_dag_run_running(dag_run: Any) -> None:
    """Label the instances that are mapped over literals: they are made with their run, past the policy."""
    from airflow_mapping_kit.plans import early_labels

    if not early_labels.possible():
        return
    planned = {task.task_id: list(early_labels.of_literals(task)) for task in dag_run.get_dag().tasks}
    labels = {
        (task_id, map_index): label
        for task_id, of_task in planned.items()
        for map_index, label in enumerate(of_task)
    }
    _label(dag_run, [task_id for task_id, of_task in planned.items() if of_task], labels.get)


@guarded
def _label_again(dag_run: Any) -> None:
    from sqlalchemy.orm import object_session

    from airflow_mapping_kit.plans import early_labels

    if not early_labels.possible():
        return
    dag, session = dag_run.get_dag(), object_session(dag_run)

    def label(place: tuple[str, int]) -> str | None:
        task_id, map_index = place
        return early_labels.of_instance(
            dag.get_task(task_id),
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            map_index=map_index,
            session=session,
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
    if not task_ids:
        return
    from sqlalchemy.orm import object_session

    from airflow_mapping_kit.compat import passing_connection
    from airflow_mapping_kit.listeners.rows import Labels

    # In the transaction in which Airflow tells of the run.
    with passing_connection(object_session(dag_run)) as connection:
        rows = Labels(connection, dag_run.dag_id, dag_run.run_id)
        found = {place: label(place) for place in rows.read(task_ids, states=states, missing=True)}
        rows.write({place: text for place, text in found.items() if text is not None})


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
