"""Where the settings of a task in a run are kept: an XCom of a task that is done when the task begins."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_mapping_kit.compat import in_order, is_mapped
from airflow_mapping_kit.plans.makers import maker_of
from airflow_mapping_kit.reading.records import SET_KEY


class Place(NamedTuple):
    """Where something is kept of a task in a run.

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
        """The key of when its last call may begin."""
        return f"mapping_kit_rate/{self.task_id}"


def place_of(task: Any, run_id: str) -> Place | None:
    """Return where the settings of a task in a run are, `None` if its DAG has no task that could keep them.

    :param task: as its DAG keeps it, declared or serialized.
    """
    anchor = anchor_of(task)
    return None if anchor is None else Place(task.dag.dag_id, run_id, anchor, task.task_id)


def anchor_of(task: Any) -> str | None:
    """Return the task that keeps the settings of another.

    A task's XComs go when it starts. So it is one that has ended by then: the maker of the batches, else any unmapped
    one before; else one that comes after, which a fan-in over literals is.
    """
    maker = maker_of(task)
    if maker is not None:
        return maker
    unmapped = [one.task_id for one in in_order(task.dag) if not is_mapped(one)]
    before, after = _related(task, "upstream_task_ids"), _related(task, "downstream_task_ids")
    return next((one for related in (before, after) for one in unmapped if one in related), None)


def is_before(anchor: str, task: Any) -> bool:
    """Tell whether what a task keeps is there when another has ended."""
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
