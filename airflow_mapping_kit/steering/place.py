"""Where the settings of a task in a run are stored: in an XCom of a task that has ended when the task begins."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_mapping_kit.compat import in_order, is_mapped
from airflow_mapping_kit.plans.makers import maker_of
from airflow_mapping_kit.reading.records import SET_KEY


class Place(NamedTuple):
    """Where the settings of a task in a run are stored.

    :param anchor: the unmapped task among whose XComs it is.
    """

    dag_id: str
    run_id: str
    anchor: str
    task_id: str

    @property
    def settings(self) -> str:
        """The key of its settings."""
        return f"{SET_KEY}/{self.task_id}"

    @property
    def pace(self) -> str:
        """The key of the time at which its last call may start."""
        return f"mapping_kit_rate/{self.task_id}"


def place_of(task: Any, run_id: str) -> Place | None:
    """Return where the settings of a task in a run are stored, `None` if no task of the DAG can store them.

    :param task: as its DAG keeps it, declared or serialized.
    """
    anchor = anchor_of(task)
    return None if anchor is None else Place(task.dag.dag_id, run_id, anchor, task.task_id)


def anchor_of(task: Any) -> str | None:
    """Return the task that stores the settings of another task.

    Airflow deletes the XComs of a task when it starts, so the task must have ended before: the task that made the
    batches, or else any unmapped upstream task. If there is none, it is a downstream task, such as a fan-in over
    literals.
    """
    maker = maker_of(task)
    if maker is not None:
        return maker
    unmapped = [one.task_id for one in in_order(task.dag) if not is_mapped(one)]
    before, after = _related(task, "upstream_task_ids"), _related(task, "downstream_task_ids")
    return next((one for related in (before, after) for one in unmapped if one in related), None)


def is_before(anchor: str, task: Any) -> bool:
    """Tell whether the XComs of a task still exist when another task has ended."""
    return anchor in _related(task, "upstream_task_ids")


def _related(task: Any, way: str) -> set[str]:
    found: set[str] = set()
    waiting = list(getattr(task, way))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += getattr(task.dag.task_dict[one], way)
    return found
