"""Labels of the instances that are made with their run, as the scheduler starts it."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

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
