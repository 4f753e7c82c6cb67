"""Records for the fan-in of instances that start and fail, through the supervisor of their task. Airflow 3.

Airflow calls these in the process of the task, which has no database; and elsewhere, when somebody marks an
instance: there is nothing to record then. It renders labels itself, before the work and after it.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.guarded import guarded
from airflow_mapping_kit.plans.mapped import is_collected

# What the instance of this process has recorded: a process works on one, those of `dag.test()` on many.
_records: dict[Any, dict[str, Any]] = {}


@hookimpl
@guarded
def on_task_instance_running(task_instance: Any) -> None:
    """Keep for the fan-in which piece an instance starts on."""
    if not _is_recorded(task_instance):
        return
    from airflow_mapping_kit.compat import let_logs_take_any_text
    from airflow_mapping_kit.plans.arguments import key_of_instance, mapped_arguments
    from airflow_mapping_kit.reading.records import record_of

    let_logs_take_any_text()
    mapped = mapped_arguments(task_instance.get_template_context())
    key = key_of_instance(task_instance.task, mapped)
    record = record_of(key, task_instance.rendered_map_index, task_instance.try_number)
    _push(task_instance, {**_own(task_instance), **record})
    _note_what_returns_nothing(task_instance)


@hookimpl
@guarded
def on_task_instance_failed(task_instance: Any, error: BaseException | str | None) -> None:
    """Keep for the fan-in what stopped an instance."""
    if not _is_recorded(task_instance):
        return
    from airflow_mapping_kit.reading.records import error_of

    record = {**_records.get(task_instance.id, _own(task_instance)), "error": error_of(error)}
    _push(task_instance, record)
    # What was pushed before it failed counts among what the instances of its task returned. A backend may fail here.
    pushed = task_instance.xcom_pull(
        task_ids=task_instance.task_id, map_indexes=task_instance.map_index, run_id=task_instance.run_id
    )
    _push(task_instance, {**record, "returned": pushed is not None})


@hookimpl
@guarded
def on_task_instance_success(task_instance: Any) -> None:
    """Delete the checkpoint of a batch that is done: its results are where they belong."""
    if _is_at_work(task_instance) and hasattr(task_instance.task, "batch_parameter"):
        from airflow_mapping_kit.checkpoints.checkpoint import succeeded

        succeeded(task_instance)


def _is_at_work(task_instance: Any) -> bool:
    # The row of the database, which the API server has, is no instance at work.
    return hasattr(task_instance, "get_template_context")


def _is_recorded(task_instance: Any) -> bool:
    if not _is_at_work(task_instance):
        return False
    index = task_instance.map_index
    return index is not None and index >= 0 and is_collected(task_instance.task)


def _own(task_instance: Any) -> dict[str, Any]:
    """Return what the fan-in can't ask Airflow 3 for: whose record this is, and of which try."""
    return {
        "map_index": task_instance.map_index,
        "try_number": task_instance.try_number,
        "max_tries": task_instance.max_tries,
    }


def _push(task_instance: Any, record: dict[str, Any]) -> None:
    from airflow_mapping_kit.compat import plain_xcoms
    from airflow_mapping_kit.reading.records import RECORD_KEY

    _records[task_instance.id] = record
    place = {name: getattr(task_instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
    plain_xcoms().set(RECORD_KEY, record, **place)


def _note_what_returns_nothing(task_instance: Any) -> None:
    """Have an instance that returns nothing say so, before it is known to have succeeded.

    Airflow gives the fan-in what instances returned as a list without gaps, and does not say whose they are.
    """
    task = task_instance.task
    # That of the DAG's author may be a generator, which can't be wrapped; then the fan-in asks one by one.
    if task._post_execute_hook is not None:  # noqa: SLF001 -- what the argument `post_execute` is kept as
        return

    @guarded
    def note(_: Any, result: Any = None) -> None:
        if result is None:
            _push(task_instance, {**_records[task_instance.id], "returned": False})

    task._post_execute_hook = note  # noqa: SLF001 -- there is no other way to see what is returned
