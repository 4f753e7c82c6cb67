"""Labels that the scheduler writes itself.

As a run starts, those of the instances that are made with it; as it ends, those that were lost.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.guarded import guarded

# So many labels go into one statement.
_CHUNK = 500


@hookimpl
@guarded
def on_dag_run_running(dag_run: Any) -> None:
    """Label the instances that are mapped over literals: they are made with their run, past the policy."""
    from airflow_mapping_kit.pieces import early_labels

    labelled = [(task.task_id, list(early_labels.of_literals(task))) for task in dag_run.get_dag().tasks]
    labelled = [(task_id, labels) for task_id, labels in labelled if labels]
    if not labelled or not early_labels.enabled():
        return
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import case, update

    from airflow_mapping_kit.compat import own_session

    table = TaskInstance.__table__
    run = (table.c.dag_id == dag_run.dag_id, table.c.run_id == dag_run.run_id)
    with own_session() as session:
        for task_id, labels in labelled:
            for start in range(0, len(labels), _CHUNK):
                part = dict(enumerate(labels[start : start + _CHUNK], start))
                session.execute(
                    update(table)
                    .where(*run, table.c.task_id == task_id, table.c.map_index.in_(part))
                    .where(table.c.rendered_map_index.is_(None))
                    .values(rendered_map_index=case(part, value=table.c.map_index))
                )


@guarded
def _label_what_was_killed(dag_run: Any) -> None:
    from airflow_mapping_kit.pieces import early_labels

    if not early_labels.enabled():
        return
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select, update

    from airflow_mapping_kit.compat import own_session

    dag, table = dag_run.get_dag(), TaskInstance.__table__
    labelled = [task.task_id for task in dag.tasks if early_labels.is_labelled(task)]
    if not labelled:
        return
    nameless = (
        select(table.c.id, table.c.task_id, table.c.map_index)
        .where(table.c.dag_id == dag_run.dag_id, table.c.run_id == dag_run.run_id)
        .where(table.c.task_id.in_(labelled), table.c.map_index >= 0)
        .where(table.c.state == "failed", table.c.rendered_map_index.is_(None))
        # The scheduler is in the midst of a transaction: for what that holds this must not wait.
        .with_for_update(skip_locked=True)
    )
    with own_session() as session:
        for instance in session.execute(nameless).all():
            label = early_labels.of_instance(
                dag.get_task(instance.task_id),
                dag_id=dag_run.dag_id,
                run_id=dag_run.run_id,
                map_index=instance.map_index,
            )
            session.execute(update(table).where(table.c.id == instance.id).values(rendered_map_index=label))


if AIRFLOW_3:
    # Of an instance whose process is killed Airflow 3 deletes the label that it had: its supervisor reports none.
    @hookimpl
    def on_dag_run_failed(dag_run: Any) -> None:
        """Label the instances again that were killed."""
        _label_what_was_killed(dag_run)

    @hookimpl
    def on_dag_run_success(dag_run: Any) -> None:
        """Label the instances again that were killed."""
        _label_what_was_killed(dag_run)
