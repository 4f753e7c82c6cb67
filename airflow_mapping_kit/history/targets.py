"""What a DAG has partitions of: its mapped tasks and groups, of a declared DAG or a serialized one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import expand_input_of, is_mapped_operator
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history.forms import Form, form_of
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.batches import Batched, batched, items_key_of
from airflow_mapping_kit.plans.planned import sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLLECT = "CollectOperator"
_PURE = "PureGeneratorOperator"


@dataclass(frozen=True, eq=False)
class Target:
    """A mapped task or group of a DAG.

    :param name: the id of the task or of the group.
    :param display: what Airflow's pages call it.
    :param task_ids: the tasks that work on a piece.
    :param ends: those of them in which a piece ends.
    :param expand_input: what it is mapped over.
    :param order: the arguments of `expand` in their order, where a serialized DAG has lost it.
    :param batched: how it gets its batches, `None` if it takes none.
    :param items_keys: the XComs in which its tasks say what became of the items of a batch.
    :param anchors: the tasks before it, one of which keeps what is done of a batch.
    :param collected: whether a fan-in waits for it, so that errors are kept.
    :param product: whether every combination of its dimensions is meant to be there.
    :param steps: which periods its generators step by, each with the zone: between two of them nothing is left out.
    :param form: how `reload_partitions` makes its plan, `None` if another generator does.
    """

    dag_id: str
    name: str
    display: str
    task_ids: tuple[str, ...]
    ends: tuple[str, ...]
    expand_input: Any
    order: Sequence[str] | None
    batched: Batched | None
    items_keys: tuple[str, ...]
    anchors: tuple[str, ...]
    collected: bool
    product: bool
    steps: Mapping[str, str]
    form: Form | None


def targets_of(dag: Any) -> list[Target]:
    """Return every mapped task and group of a DAG, in the order of their dependencies."""
    found: dict[str, list[Any]] = {}
    groups: dict[str, Any] = {}
    tasks = sorted(dag.task_dict.values(), key=lambda task: len(task.get_flat_relative_ids(upstream=True)))
    for task in tasks:
        if is_mapped_operator(task):
            found[task.task_id] = [task]
        elif (group := next(iter(task.iter_mapped_task_groups()), None)) is not None:
            groups[str(group.group_id)] = group
            found.setdefault(str(group.group_id), []).append(task)
    collected = {up for task in tasks if task.task_type == _COLLECT for up in task.upstream_task_ids}
    return [_target(dag, name, of_piece, collected) for name, of_piece in found.items()]


def target_of(dag: Any, task_id: str | None) -> Target:
    """Return one of a DAG's targets.

    :param task_id: the mapped task, the mapped group, or a task within one; `None` for the one that has partitions
        of a declared product, or else is collected, or else comes first.
    :raises PlanError: if there is none of the kind.
    """
    found = targets_of(dag)
    if not found:
        raise PlanError(
            f"{dag.dag_id} has no mapped task and no mapped group, so it has no partitions to show."
        )
    if task_id is None:
        return max(found, key=lambda one: (one.product, one.collected))
    for target in found:
        if task_id == target.name or task_id in target.task_ids:
            return target
    names = ", ".join(target.name for target in found)
    raise PlanError(f"{dag.dag_id} has no mapped task or group {shown(task_id)}: choose one of {names}.")


def _target(dag: Any, name: str, tasks: list[Any], collected: set[str]) -> Target:
    counted = [task for task in tasks if not task.is_teardown or task.on_failure_fail_dagrun] or tasks
    ids = {task.task_id for task in counted}
    ends = [task for task in counted if ids.isdisjoint(task.get_flat_relative_ids(upstream=False))]
    main = next((task for task in counted if _batched(task)), counted[0])
    expand_input = expand_input_of(main)
    order = next((note["order"] for task in counted if (note := _note(task)).get("order")), None)
    makers = _generators(dag, {source.task_id for source in sources(expand_input)})
    form = next((form_of(dag, task) for task in makers if task.task_type == "ReloadOperator"), None)
    # What is left out on purpose is not missing.
    pure = any(task.task_type == _PURE for task in makers) and not any(
        (getattr(task, "op_kwargs", None) or {}).get("exclude") for task in makers
    )
    return Target(
        dag.dag_id,
        name,
        str(getattr(main, "task_display_name", None) or name) if name == main.task_id else name,
        tuple(task.task_id for task in counted),
        tuple(task.task_id for task in ends if not task.is_setup),
        expand_input,
        order,
        _batched(main),
        tuple(dict.fromkeys(items_key_of(task) or "return_value" for task in counted)),
        tuple(up for up in sorted(main.get_flat_relative_ids(upstream=True)) if up not in ids),
        any(task.task_id in collected for task in counted),
        form is not None or pure,
        _steps(makers, form),
        form,
    )


def _generators(dag: Any, task_ids: set[str]) -> list[Any]:
    """Return the generators that make a plan, and those that their arguments come from."""
    found, waiting = [], sorted(task_ids)
    seen = set(waiting)
    while waiting:
        task = dag.task_dict[waiting.pop(0)]
        if hasattr(task, "named_by") or task.task_type.endswith("GeneratorOperator"):
            found.append(task)
            new = sorted(set(task.upstream_task_ids) - seen)
            seen.update(new)
            waiting += new
    return found


def _steps(makers: list[Any], form: Form | None) -> dict[str, str]:
    if form is not None:
        return {} if form.every is None else {form.every: form.zone}
    steps = {}
    for task in makers:
        given = dict(getattr(task, "op_kwargs", None) or {})
        both = len(getattr(task, "op_args", None) or ()) == len(("start", "end"))
        if task.task_type == _PURE and (both or {"start", "end"} <= given.keys()):  # date_range
            every, zone = given.get("every", "day"), given.get("timezone", "UTC")
            if not known_at_run_time([every, zone]):
                steps[str(every)] = str(zone)
    return steps


def _batched(task: Any) -> Batched | None:
    note = _note(task).get("batched")
    return Batched(**note) if note else batched(task)


def _note(task: Any) -> dict[str, Any]:
    return labels.note_of(getattr(task, "map_index_template", None))
