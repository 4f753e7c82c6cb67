"""The tasks that use a plan, and what they can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import (
    KNOWN_CONTEXT_KEYS,
    expand_input_of,
    group_argument_of,
    is_mapped_operator,
    is_taskflow,
    xcom_kind,
)
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.plans.arguments import arguments, has_group_argument, has_text
from airflow_mapping_kit.plans.batches import (
    RETURN_VALUE,
    batch_parameter_of,
    given_to,
    needs_batches,
    takes_slices,
)
from airflow_mapping_kit.plans.planned import references

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


class Uses(NamedTuple):
    """How the tasks of a DAG use the plan of a generator.

    :param needs_batches: whether all of them are mapped over it and take only batches.
    :param takes_slices: whether all of them are mapped over it and can read a batch that is stored elsewhere.
    """

    needs_batches: bool = False
    takes_slices: bool = False


def uses_of(generator: Any) -> Uses:
    """Return how the tasks of its DAG use the output of a generator. All of them count.

    A task that is not mapped over it batch by batch gets the plan itself: a task that takes the whole plan, another
    generator, `expand_kwargs`, `.map()` and `.zip()`, a template with `xcom_pull`.

    :param generator: a declared operator.
    """
    users: list[Any] = []
    groups: dict[str, Any] = {}
    for task in generator.dag.task_dict.values():
        mapped_over = _mapped_over(task) if is_mapped_operator(task) else None
        if has_text([mapped_over, _fixed(task)], lambda text: _pulls(text, generator.task_id)):
            return Uses()
        if _holds(_fixed(task), generator):
            return Uses()
        if _holds(mapped_over, generator):
            argument = _only_argument(mapped_over, generator)
            if argument is None or argument != batch_parameter_of(task):
                return Uses()
            users.append(task)
        group = next(iter(task.iter_mapped_task_groups()), None)
        if group is not None:
            groups[str(group.group_id)] = group
    for group in groups.values():
        if not _holds(_mapped_over(group), generator):
            continue
        argument = _only_argument(_mapped_over(group), generator)
        takers = [
            task for task in group.iter_tasks() if argument and has_group_argument(_fixed(task), argument)
        ]
        if not takers or not all(_is_its_batch(task, str(argument)) for task in takers):
            return Uses()
        users += takers
    return Uses(bool(users) and all(map(needs_batches, users)), bool(users) and all(map(takes_slices, users)))


def _fixed(task: Any) -> Mapping[str, Any]:
    """Return the arguments of a task that it is not mapped over, by name."""
    if is_mapped_operator(task):
        return task.partial_kwargs  # type: ignore[no-any-return]
    # A template may be in any field; of a function all arguments are in two of them.
    return {**{name: getattr(task, name, None) for name in task.template_fields}, **arguments(task)}


def _holds(value: Any, generator: Any) -> bool:
    return any(
        source.task_id == generator.task_id and source.key == RETURN_VALUE for source in references(value)
    )


def _only_argument(over: Any, generator: Any) -> str | None:
    """Return the mapped argument that gets an element of the plan, `None` if it is not exactly one."""
    if not isinstance(over, dict):
        return None
    names = [name for name, given in over.items() if _holds(given, generator)]
    plain = len(names) == 1 and all(
        xcom_kind(part) == "plain" for part in _concatenated(over[names[0]]) if _holds(part, generator)
    )
    return names[0] if plain else None


def _concatenated(given: Any) -> Iterator[Any]:
    if xcom_kind(given) == "concat":
        for part in given.args:
            yield from _concatenated(part)
    else:
        yield given


def _is_its_batch(task: Any, argument: str) -> bool:
    """Tell whether a task takes the group's argument as its batch, and uses it for nothing else."""
    parameter = batch_parameter_of(task)
    if parameter is None or is_mapped_operator(task):
        return False
    if group_argument_of(given_to(task, parameter)) != argument:
        return False
    others = {name: value for name, value in arguments(task).items() if name != parameter}
    return not has_group_argument(others, argument)


def _pulls(text: str, task_id: str) -> bool:
    return "xcom_pull" in text and task_id in text


def longest_map() -> int:
    """Return how many pieces Airflow maps over at most, if a task returns them."""
    from airflow.configuration import conf

    return int(conf.getint("core", "max_map_length", fallback=1024))


def takes_arguments(mapped: Any) -> bool:
    """Tell whether a task or a group is mapped by `expand_kwargs`, so that the fields of a piece are its arguments."""
    return not isinstance(_mapped_over(mapped), dict)


def refuse_context_names(mapped: Any, plan: Collection[Any]) -> None:
    """Raise an error if a piece has fields that would be arguments which Airflow itself passes to a TaskFlow function.

    :raises PartitionError: naming the function's task and the argument.
    """
    # What goes through `.map()` is not yet what the function gets.
    if not is_taskflow(mapped) or xcom_kind(_mapped_over(mapped)) != "plain":
        return
    for name in dict.fromkeys(name for piece in plan if isinstance(piece, dict) for name in piece):
        if name in KNOWN_CONTEXT_KEYS:
            raise PartitionError(
                f"{mapped.task_id} is mapped by expand_kwargs, and {name!r} cannot be an argument: Airflow passes "
                f"its own {name!r} to every function. Rename it, e.g. {name + '_key'!r}, or map over whole "
                f"pieces, {mapped.task_id}.expand(partition=...)."
            )


def _mapped_over(mapped: Any) -> Any:
    return getattr(expand_input_of(mapped), "value", None)
