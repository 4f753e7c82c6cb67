"""Labels, and records for the fan-in, of instances that start and fail: beside the database. Airflow 2.x."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.guarded import guarded
from airflow_mapping_kit.plans.mapped import is_collected

# What the instance of this process has recorded: a process works on one, those of `dag.test()` on many.
_records: dict[tuple[Any, ...], dict[str, Any]] = {}


@hookimpl
@guarded
def on_task_instance_running(task_instance: Any) -> None:
    """Correct the label of an instance that starts, and keep its key for the fan-in."""
    index = task_instance.map_index
    if index is None or index < 0:
        return
    from airflow_mapping_kit import labels
    from airflow_mapping_kit.compat import hidden_names, hold_connection, let_logs_take_any_text
    from airflow_mapping_kit.plans import early_labels
    from airflow_mapping_kit.plans.arguments import (
        arguments,
        chosen_key_of_instance,
        key_of_instance,
        mapped_arguments,
    )
    from airflow_mapping_kit.plans.ranges import held_by
    from airflow_mapping_kit.reading.records import RECORD_KEY, record_of

    task, label = task_instance.task, task_instance.rendered_map_index
    text, collected = labels.format_of(task.map_index_template), is_collected(task)
    labelled = text is not None and early_labels.enabled()
    if not labelled and not collected:
        return
    if collected:
        let_logs_take_any_text()
    if hasattr(task, "batch_parameter"):
        # Its operator asks more, and lets it go.
        hold_connection()
    # As much of a context as Airflow resolves mapped arguments with.
    context: Any = {
        "ti": task_instance,
        "task": task,
        "run_id": task_instance.run_id,
        "expanded_ti_count": None,
    }
    mapped = mapped_arguments(context)
    shown = label
    if labelled:
        batch = held_by(task_instance, task, mapped)
        shown = labels.render(
            text or "",
            mapped,
            arguments(task),
            batch=batch,
            key=chosen_key_of_instance(task, mapped),
            final=False,
            hidden=hidden_names(),
        )
    if shown == label and not collected:
        return
    from airflow_mapping_kit.compat import own_session, write_plain_xcom

    # A session of its own: were a statement to fail in the task's, the task would fail with it.
    with own_session() as session:
        if shown != label:
            _set_label(task_instance, shown, session)
        if collected:
            record = record_of(key_of_instance(task, mapped), shown, task_instance.try_number)
            place = _place(task_instance)
            write_plain_xcom(session, place, RECORD_KEY, record)
            _records[tuple(place.values())] = record


@hookimpl
@guarded
def on_task_instance_failed(task_instance: Any, error: BaseException | str | None, session: Any) -> None:
    """Keep for the fan-in what stopped an instance. It may have been killed, and this be another process."""
    index = task_instance.map_index
    task = getattr(task_instance, "task", None)
    if index is None or index < 0 or task is None or not is_collected(task):
        return
    from airflow_mapping_kit.compat import write_plain_xcom
    from airflow_mapping_kit.reading.records import RECORD_KEY, error_of

    place = _place(task_instance)
    # Airflow holds the instance's row by now: on MySQL another connection could not add to it. What goes wrong
    # goes back to the savepoint, and Airflow's transaction with the state is as before.
    with session.begin_nested():
        record = _records.get(tuple(place.values())) or _left(place, session)
        record = {**record, "error": error_of(error), "try_number": task_instance.try_number}
        write_plain_xcom(session, place, RECORD_KEY, record)


def _left(place: dict[str, Any], session: Any) -> dict[str, Any]:
    """Return the record of an instance that ran elsewhere, nothing of one that is no JSON.

    This may be the scheduler, which makes no object of what workers wrote. The fan-in knows the rest by the plan.
    """
    from airflow_mapping_kit.compat import kept_of_xcom
    from airflow_mapping_kit.exceptions import PlanError
    from airflow_mapping_kit.reading.json_xcoms import plain
    from airflow_mapping_kit.reading.records import RECORD_KEY

    try:
        record = plain(kept_of_xcom(session, place, RECORD_KEY))
    except PlanError:
        return {}
    return record if isinstance(record, dict) else {}


def _place(task_instance: Any) -> dict[str, Any]:
    return {
        "dag_id": task_instance.dag_id,
        "task_id": task_instance.task_id,
        "run_id": task_instance.run_id,
        "map_index": task_instance.map_index,
    }


def _set_label(task_instance: Any, label: str | None, session: Any) -> None:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select, update

    table = TaskInstance.__table__
    row = tuple(table.c[name] == value for name, value in _place(task_instance).items())
    # Somebody who holds the row may be this very task in another transaction: waiting could last for ever.
    free = session.execute(select(table.c.map_index).where(*row).with_for_update(skip_locked=True)).first()
    if free:
        session.execute(update(table).where(*row).values(rendered_map_index=label))
