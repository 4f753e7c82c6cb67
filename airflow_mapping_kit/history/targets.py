"""What a DAG has partitions of: its mapped tasks and groups, of a declared DAG or a serialized one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history.forms import Form, arguments_of, form_of, leaves_out
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.batches import Batched, batched, items_key_of
from airflow_mapping_kit.plans.mapped import Mapped, collected_by, mapped_in, published_by
from airflow_mapping_kit.plans.planned import sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# By the names that serialized DAGs have of their classes.
_RELOAD, _PURE = "ReloadOperator", "PureGeneratorOperator"


@dataclass(frozen=True, eq=False)
class Target:
    """A mapped task or group of a DAG.

    :param name: the id of the task or of the group.
    :param display: what Airflow's pages call it.
    :param task_ids: the tasks that work on a piece.
    :param ends: those of them in which a piece ends.
    :param mapped: the same as the fan-in has it.
    :param batched: how it gets its batches, `None` if it takes none.
    :param items_keys: the XComs in which its tasks say what became of the items of a batch.
    :param collected: whether a fan-in waits for it, so that errors are kept.
    :param published_by: the fan-in that commits what it stages, `None` where a success is all.
    :param product: whether every combination of its dimensions is meant to be there.
    :param steps: which periods its generators step by, each with the zone: between two of them nothing is left out.
    :param form: how `reload_partitions` makes its plan, `None` if another generator does.
    """

    dag_id: str
    name: str
    display: str
    task_ids: tuple[str, ...]
    ends: tuple[str, ...]
    mapped: Mapped
    batched: Batched | None
    items_keys: tuple[str, ...]
    collected: bool
    published_by: str | None
    product: bool
    steps: Mapping[str, str]
    form: Form | None

    @property
    def expand_input(self) -> Any:
        """What it is mapped over."""
        return self.mapped.expand_input

    @property
    def order(self) -> Sequence[str] | None:
        """The arguments of `expand` in their order, where a serialized DAG has lost it."""
        return self.mapped.order


def targets_of(dag: Any) -> list[Target]:
    """Return every mapped task and group of a DAG, in the order of their dependencies."""
    collected = {one.name for one in map(collected_by, dag.task_dict.values()) if one is not None}
    return [_target(mapped, mapped.name in collected) for mapped in mapped_in(dag)]


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


def _target(mapped: Mapped, collected: bool) -> Target:
    dag = mapped.dag
    main = dag.get_task(mapped.main)
    makers = _generators(dag, {source.task_id for source in sources(mapped.expand_input)})
    form = next((form_of(dag, task) for task in makers if task.task_type == _RELOAD), None)
    # What is left out on purpose is not missing.
    pure = any(task.task_type == _PURE for task in makers) and not any(map(leaves_out, makers))
    display = getattr(main, "task_display_name", None) if mapped.name == main.task_id else None
    keys = [items_key_of(dag.get_task(task_id)) for task_id in mapped.task_ids]
    return Target(
        dag.dag_id,
        mapped.name,
        str(display or mapped.name),
        mapped.task_ids,
        mapped.returned or mapped.leaves,
        mapped,
        batched(main),
        tuple(dict.fromkeys(key for key in keys if key is not None)),
        collected,
        published_by(mapped),
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
        given = arguments_of(task)
        both = len(getattr(task, "op_args", None) or ()) == len(("start", "end"))
        if task.task_type == _PURE and (both or {"start", "end"} <= given.keys()):  # date_range
            every, zone = given.get("every", "day"), given.get("timezone", "UTC")
            if not known_at_run_time([every, zone]):
                steps[str(every)] = str(zone)
    return steps
