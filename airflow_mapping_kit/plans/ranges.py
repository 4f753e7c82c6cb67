"""Which items of a plan an instance holds: its label shows this."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, expand_input_of, xcom_kind
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.labels import Batch
from airflow_mapping_kit.plans.batches import Batched, batched
from airflow_mapping_kit.plans.planned import Plan, calls_functions, sources
from airflow_mapping_kit.reading import supervisor, tables
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _is_all_of(expand_input: Any, how: Batched) -> bool:
    """Tell whether the task is mapped over the whole plan that slices belong to."""
    value = expand_input.value
    return isinstance(value, dict) and len(value) == 1 and xcom_kind(value.get(how.argument)) == "plain"


class Ranges:
    """Which items of a plan each batch holds.

    :param plan: the mapped arguments of every piece, in map-index order.
    """

    def __init__(self, plan: Sequence[Mapping[str, Any]] | Plan, batched: Batched) -> None:
        self._batched = batched
        self._plan = plan
        self._ends = list(accumulate(_count(batched, mapped) for mapped in plan))

    def __getitem__(self, map_index: int) -> Batch | None:
        """Return what a label says of a batch, `None` for an empty one."""
        if not 0 <= map_index < len(self._ends):
            return None
        mapped = self._plan[map_index]
        count = _count(self._batched, mapped)
        return _held(
            self._batched, mapped, first=self._ends[map_index] - count, count=count, total=self._ends[-1]
        )


def _count(how: Batched, mapped: Mapping[str, Any]) -> int:
    """Return how many items a piece holds."""
    held, part = how.slice(mapped), how.part(mapped)
    if held is not None:
        return held.count
    return len(how.batch(mapped) or ()) if part is None else part["count"]


def _held(how: Batched, mapped: Mapping[str, Any], *, first: int, count: int, total: int) -> Batch | None:
    """Return what a label says of a batch, `None` for an empty one.

    :param first: the number of its first item, from 0.
    """
    if not count:
        return None
    held, batch = how.slice(mapped), how.batch(mapped)
    ends = held.ends if held is not None else batch or []
    # An end of a slice that is too long is not there; the rows of a part are elsewhere.
    values = [] if held is not None and None in ends else [*ends[:1], *ends[-1:]][-min(count, 2) :]
    return Batch(
        first=first + 1,
        last=first + count,
        total=total,
        ends=tuple(
            (item.key, how.arguments(mapped, item.value) if item.state == SUCCESS else None)
            for item in how.items(mapped, values)
        ),
    )


def held_by(task_instance: Any, task: Any, mapped: Mapping[str, Any]) -> Batch | None:
    """Return which items a running instance holds, `None` if this is unknown.

    :param task: its operator, as the worker runs it.
    :param mapped: what it was mapped over.
    """
    global _last  # noqa: PLW0603 -- a process works on one instance
    asked = (task_instance, task_instance.try_number)
    # The listener asks when the instance starts, and its label when it has ended.
    if _last is None or _last[0][0] is not task_instance or _last[0] != asked:
        _last = asked, _held_by(task_instance, task, mapped)
    return _last[1]


_last: tuple[tuple[Any, int], Batch | None] | None = None


def _held_by(task_instance: Any, task: Any, mapped: Mapping[str, Any]) -> Batch | None:
    declared = task.dag.get_task(task.task_id)
    how, expand_input = batched(declared), expand_input_of(declared)
    if how is None or expand_input is None:
        return None
    held = how.slice(mapped)
    # One partition by itself needs no look at the others, nor a slice where nothing but its plan is mapped over.
    if held is None and how.part(mapped) is None and how.batch(mapped) is None:
        return None
    if held is not None and _is_all_of(expand_input, how):
        return _held(how, mapped, first=held.first, count=held.count, total=held.total)
    # Functions of the DAG's author are called for an instance's own piece, not for all others in each of them.
    if calls_functions(expand_input.value):
        return None
    wanted = sources(expand_input)
    if AIRFLOW_3:  # a task has no database there
        found = supervisor.pushed(task_instance, task.dag, wanted)
    else:
        found = tables.pushed(task_instance.dag_id, task_instance.run_id, wanted)
    try:
        return Ranges(Plan(expand_input, found.get), how)[task_instance.map_index]
    except PlanError:  # deleted since: the label says what it can
        return None
