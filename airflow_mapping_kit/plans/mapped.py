"""A mapped task, or a mapped group, whose pieces a fan-in reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from airflow_mapping_kit.compat import (
    TaskGroup,
    XComArg,
    expand_input_of,
    in_order,
    is_mapped_operator,
    xcom_kind,
)
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.plans.notes import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# By the name that serialized DAGs have of its class.
_PUBLISHES = "PublishOperator"

# The id of the task whose value it is; a list or a dict of such where a group returns one; or nothing.
Returns: TypeAlias = "str | list[Any] | dict[str, Any] | None"


class Collected(NamedTuple):
    """What a fan-in says that it collects.

    :param name: the id of the mapped task or group.
    :param task_ids: the tasks that make the state of one piece.
    :param returns: of a group, where the value of a piece is.
    """

    name: str
    task_ids: Sequence[str]
    returns: Returns


@dataclass(frozen=True)
class Mapped:
    """What a fan-in collects.

    :param name: the id of the task or of the group.
    :param task_ids: the tasks that make the state of one piece: the mapped task, or those of a group, without
        teardowns that can't fail a run.
    :param teardowns: those teardowns.
    :param leaves: the tasks of a piece that only teardowns follow in the group.
    :param awaited: the tasks that must end before the state of a piece is known.
    :param returns: where the value of a piece is, `None` if a group returns none.
    :param expand_input: what it is mapped over.
    :param dag: its DAG.
    """

    name: str
    task_ids: tuple[str, ...]
    teardowns: tuple[str, ...]
    leaves: tuple[str, ...]
    awaited: tuple[str, ...]
    returns: Returns
    expand_input: Any
    dag: Any

    @classmethod
    def of(cls, target: Any) -> Mapped:
        """Return what `target` stands for: a mapped task, or the mapped group around a task.

        :param target: a mapped operator, the output of a mapped task, a mapped group, or what the function of
            a mapped group returned: a task of it or its output, a list or a dict of such.
        :raises FanInError: if nothing is mapped there.
        """
        if isinstance(target, dict | list | tuple):
            return _of_outputs(target)
        if isinstance(target, TaskGroup):
            return _group(target, returns=None)
        task = _task_of(target) if isinstance(target, XComArg) else target
        if is_mapped_operator(task):
            only = (task.task_id,)
            return cls(task.task_id, only, (), only, only, task.task_id, expand_input_of(task), task.dag)
        group = _group_around(task)
        if group is not None:
            return _group(group, returns=task.task_id)
        raise _not_mapped(getattr(task, "task_id", task))

    @classmethod
    def collected_by(cls, fan_in: Any) -> Mapped:
        """Return what a fan-in collects, as its DAG declares it now."""
        if fan_in.dag.has_task(fan_in.collected):
            return cls.of(fan_in.dag.get_task(fan_in.collected))
        groups = fan_in.dag.task_group.get_task_group_dict()
        return _group(groups[fan_in.collected], returns=fan_in.returned)

    @property
    def order(self) -> Sequence[str] | None:
        """The arguments of `expand` in the order of their declaration, which a serialized DAG may have lost."""
        note = noted(self.dag.get_task(self.main))
        return None if note is None else note.get("order")

    @property
    def returned(self) -> tuple[str, ...]:
        """The tasks whose values the value of a piece is made of."""
        return tuple(_ids_in(self.returns))

    @property
    def main(self) -> str:
        """The task that names a piece, and that says what its batch is."""
        return next(iter(self.returned), self.leaves[0])

    def value(self, of_task: Callable[[str], Any]) -> Any:
        """Return the value of a piece from those of its tasks: of a group that returns a dict, such a dict."""
        return _filled(self.returns, of_task)


def mapped_in(dag: Any) -> list[Mapped]:
    """Return every mapped task and every mapped group of a DAG, in the order of their dependencies.

    If a fan-in collects a group, the group has the value that the fan-in says.

    :param dag: declared, or serialized.
    """
    returns = {one.name: one.returns for one in map(collected_by, dag.task_dict.values()) if one is not None}
    found: dict[str, Mapped] = {}
    for task in in_order(dag):
        group = _group_around(task)
        if group is None:
            if is_mapped_operator(task):
                found[task.task_id] = Mapped.of(task)
        elif group.group_id not in found:
            found[str(group.group_id)] = _group(group, returns.get(group.group_id))
    return list(found.values())


def collected_by(task: Any) -> Collected | None:
    """Return what a task of a DAG collects, `None` if it is not a fan-in.

    :param task: as its DAG keeps it, declared or serialized.
    """
    note = noted(task)
    if note is not None:
        return Collected(**note["collects"]) if "collects" in note else None
    if not hasattr(task, "collected_task_ids"):
        return None
    return Collected(task.collected, task.collected_task_ids, task.returned)


def is_collected(task: Any) -> bool:
    """Tell whether a fan-in waits for a task of a DAG."""
    fan_ins = map(collected_by, task.dag.task_dict.values())
    return any(one is not None and task.task_id in one.task_ids for one in fan_ins)


def published_by(mapped: Mapped) -> str | None:
    """Return the fan-in that publishes what a mapped task or group stages. Before that, its success changes nothing.

    :return: its id, `None` if nothing has to be published.
    """
    for task in mapped.dag.task_dict.values():
        if task.task_type == _PUBLISHES:
            collected = collected_by(task)
            if collected is not None and collected.name == mapped.name:
                return str(task.task_id)
    return None


def _group_around(task: Any) -> Any:
    return next(iter(task.iter_mapped_task_groups()), None) if hasattr(task, "task_id") else None


def _of_outputs(outputs: dict[str, Any] | list[Any] | tuple[Any, ...]) -> Mapped:
    """Return the mapped group of which every output is, as its function returned them."""
    groups: dict[str, Any] = {}

    def task_id(output: Any) -> str:
        task = _task_of(output) if isinstance(output, XComArg) else output
        group = _group_around(task)
        if group is None:
            raise _not_mapped(
                outputs, f" {getattr(task, 'task_id', task)!r} in it is no task of a mapped group."
            )
        groups[group.group_id] = group
        return str(task.task_id)

    returns = _filled(outputs, task_id)
    if len(groups) != 1:
        names = " and ".join(sorted(groups)) or "no task"
        raise _not_mapped(outputs, f" It holds tasks of {names}: collect each by itself.")
    return _group(next(iter(groups.values())), returns)


def _filled(shape: Any, of: Callable[[Any], Any]) -> Any:
    """Return a list or a dict, however nested, with its values replaced."""
    if isinstance(shape, dict):
        return {str(name): _filled(part, of) for name, part in shape.items()}
    if isinstance(shape, list | tuple):
        return [_filled(part, of) for part in shape]
    return None if shape is None else of(shape)


def _ids_in(returns: Returns) -> Iterable[str]:
    if isinstance(returns, dict):
        returns = list(returns.values())
    if isinstance(returns, list):
        for part in returns:
            yield from _ids_in(part)
    elif returns is not None:
        yield returns


def _task_of(output: XComArg) -> Any:
    if xcom_kind(output) != "plain" or getattr(output, "key", "return_value") != "return_value":
        raise FanInError(
            f"{output!r} is made from the output of a task: pass the output itself, as .expand() returned it. "
            f"The rows of the report hold every value, to be picked from there."
        )
    return output.operator  # type: ignore[attr-defined]  # a plain one has it


def _group(group: TaskGroup, returns: Returns) -> Mapped:
    # The outermost is what is expanded: Airflow has no mapped group within a mapped group.
    expand_input = getattr(group, "_expand_input", None)
    if expand_input is None:
        raise FanInError(
            f"The task group {group.group_id!r} is not mapped, so it has no pieces to collect: "
            f"pass one that was called with .expand()."
        )
    tasks = list(group.iter_tasks())
    wanted = set(_ids_in(returns))
    # Airflow's own rule for runs: a teardown that fails is none of the run's business, unless it says so.
    counted = [
        task
        for task in tasks
        if not task.is_teardown or task.on_failure_fail_dagrun or task.task_id in wanted
    ] or tasks
    work = [task for task in counted if not task.is_teardown] or counted
    leaves = _last_of(work)
    return Mapped(
        str(group.group_id),
        tuple(task.task_id for task in counted),
        tuple(task.task_id for task in tasks if task not in counted),
        leaves,
        tuple(dict.fromkeys((*leaves, *_last_of(counted)))),
        returns,
        expand_input,
        group.dag,
    )


def _last_of(tasks: list[Any]) -> tuple[str, ...]:
    """Return the ids of the tasks that have no other of these tasks downstream."""
    ids = {task.task_id for task in tasks}
    last = [task for task in tasks if ids.isdisjoint(task.get_flat_relative_ids(upstream=False))]
    # What only a teardown follows is set up for nothing; and Airflow lets nothing wait for it but by its own rule.
    return tuple(task.task_id for task in [task for task in last if not task.is_setup] or last)


def _not_mapped(target: Any, why: str = "") -> FanInError:
    return FanInError(
        f"{target!r} is not mapped, so it has no pieces to collect:{why} "
        f"Pass a task or a task group that was called with .expand() or .expand_kwargs()."
    )
