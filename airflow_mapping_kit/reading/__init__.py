"""What Airflow keeps of a run, read as plain values: by its tables, or by asking a task's supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mapping_kit.reading.instances import Reading


def of_task(task_instance: Any, task_ids: Collection[str] = ()) -> Reading:
    """Return what reads the run of a task, within it: the tables on Airflow 2, the supervisor on Airflow 3.

    :param task_instance: the instance of the running task.
    :param task_ids: the tasks whose instances are asked for.
    """
    from airflow_mapping_kit.compat import AIRFLOW_3
    from airflow_mapping_kit.reading import supervisor, tables

    return supervisor.Supervisor(task_instance, task_ids) if AIRFLOW_3 else tables
