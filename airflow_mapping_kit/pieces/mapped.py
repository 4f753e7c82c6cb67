"""A mapped task, or a mapped group, as the one thing whose pieces are accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mapping_kit.compat import (
    TaskGroup,
    XComArg,
    expand_input_of,
    is_mapped_operator,
    xcom_kind,
)
from airflow_mapping_kit.exceptions import FanInError


@dataclass(frozen=True)
class Mapped:
    """What a fan-in collects.

    :param name: the id of the task or of the group.
    :param task_ids: the tasks of one piece: one of a task, all of a group.
    :param leaves: those of them that nothing in the group follows.
    :param returns: the task whose value is the piece's, `None` if a group returns none.
    :param expand_input: what it is mapped over.
    :param dag: its DAG.
    """

    name: str
    task_ids: tuple[str, ...]
    leaves: tuple[str, ...]
    returns: str | None
    expand_input: Any
    dag: Any

    @classmethod
    def of(cls, target: Any) -> Mapped:
        """Return what `target` stands for: a mapped task, or the mapped group around a task.

        :param target: a mapped operator, the output of a mapped task, a mapped group, or the task in a mapped
            group whose output the group returns.
        :raises FanInError: if nothing is mapped there.
        """
        if isinstance(target, XComArg):
            target = _task_of(target)
        if isinstance(target, TaskGroup):
            return _group(target, returns=None)
        if is_mapped_operator(target):
            return cls(
                target.task_id,
                (target.task_id,),
                (target.task_id,),
                target.task_id,
                expand_input_of(target),
                target.dag,
            )
        group = next(iter(target.iter_mapped_task_groups()), None) if hasattr(target, "task_id") else None
        if group is not None:
            return _group(group, returns=target.task_id)
        raise FanInError(
            f"{_name(target)} is not mapped, so it has no pieces to collect: "
            f"pass a task or a task group that was called with .expand() or .expand_kwargs()."
        )


def mapped_in(dag: Any) -> list[Mapped]:
    """Return every mapped task and every mapped group of a DAG, in the order of their dependencies.

    A group that a fan-in collects is what the fan-in calls its piece: it has the value of the same task.
    """
    collected = {
        getattr(task, "collected", None) for task in dag.tasks if hasattr(task, "collected_task_ids")
    }
    found: dict[str, Mapped] = {}
    for task in dag.topological_sort():
        group = next(iter(task.iter_mapped_task_groups()), None)
        if group is None and not is_mapped_operator(task):
            continue
        if group is not None and task.task_id not in collected:
            found.setdefault(str(group.group_id), Mapped.of(group))
        else:
            one = Mapped.of(task)
            found[one.name] = one
    return list(found.values())


def is_collected(task: Any) -> bool:
    """Tell whether a fan-in waits for a task of a DAG."""
    return any(
        task.task_id in getattr(other, "collected_task_ids", ()) for other in task.dag.task_dict.values()
    )


def _task_of(output: XComArg) -> Any:
    if xcom_kind(output) != "plain" or getattr(output, "key", "return_value") != "return_value":
        raise FanInError(
            f"{output!r} is made from the output of a task: pass the output itself, as .expand() returned it. "
            f"The rows of the report hold every value, to be picked from there."
        )
    return output.operator  # type: ignore[attr-defined]  # a plain one has it


def _group(group: TaskGroup, returns: str | None) -> Mapped:
    # The outermost is what is expanded: Airflow has no mapped group within a mapped group.
    expand_input = getattr(group, "_expand_input", None)
    if expand_input is None:
        raise FanInError(
            f"The task group {group.group_id!r} is not mapped, so it has no pieces to collect: "
            f"pass one that was called with .expand()."
        )
    return Mapped(
        str(group.group_id),
        tuple(task.task_id for task in group.iter_tasks()),
        tuple(leaf.task_id for leaf in group.get_leaves()),
        returns,
        expand_input,
        group.dag,
    )


def _name(target: Any) -> str:
    return repr(getattr(target, "task_id", target))
