"""What a DAG does with a table: the plan that is mapped over it, and whether what is staged is published."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    XComArg,
    expand_input_of,
    group_argument_of,
    is_mapped_operator,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.planned import Plan, sources
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading import supervisor, tables

if TYPE_CHECKING:
    from airflow.utils.context import Context

log = logging.getLogger(__name__)

_ARGUMENT = "partition"
# Which arguments of a task may be a table.
TABLE_ARGUMENTS = ("target", "table")


def dimensions_of(lookup: Any, context: Context) -> set[str]:
    """Return the dimensions of what is mapped over a table, those of each plan's first partition.

    None of a plan that isn't made yet, and none where partitions come in a way of their author's own: instances check
    theirs themselves.

    :param lookup: the task that looks the table up, within its run.
    """
    found: set[str] = set()
    for task in lookup.downstream_list:
        if expand_input_of(task) is not None:
            found |= set(_first_partition(task, lookup, context) or {})
    return found


def unpublished(lookup: Any) -> list[str]:
    """Return the tasks that stage for a table, and that no `publish` waits for: what they stage would never be seen."""
    published = {getattr(task, "staged_by", None) for task in lookup.dag.tasks}
    staging = [
        task for task in lookup.downstream_list if not hasattr(task, "staged_by") and _stages(task, lookup)
    ]
    return sorted(task.task_id for task in staging if task.task_id not in published)


def table_given_to(task: Any) -> Any:
    """Return what a declared task has as its target or table, as the DAG's file says it; `None` if nothing."""
    given = task.partial_kwargs if is_mapped_operator(task) else vars(task)
    return next((given[name] for name in TABLE_ARGUMENTS if given.get(name) is not None), None)


def _stages(task: Any, lookup: Any) -> bool:
    table = table_given_to(task)
    return isinstance(table, XComArg) and any(
        operator.task_id == lookup.task_id for operator, _ in table.iter_references()
    )


def wait_for_plan(lookup: Any, mapped: Any) -> None:
    """Have a table looked up after the plan was made, where that needs not the table itself.

    :param mapped: the task that is mapped over the plan.
    """
    for source in sources(expand_input_of(mapped)):
        made_by = lookup.dag.get_task(source.task_id)
        waits_already = {lookup.task_id, *lookup.get_flat_relative_ids(upstream=False)}
        if made_by.task_id not in waits_already and not any(True for _ in lookup.iter_mapped_task_groups()):
            lookup.set_upstream(made_by)


def _first_partition(task: Any, lookup: Any, context: Context) -> Mapping[str, Any] | None:
    argument = _ARGUMENT if is_mapped_operator(task) else group_argument_of(getattr(task, _ARGUMENT, None))
    expand_input, instance = expand_input_of(task), context["ti"]
    wanted = sources(expand_input)
    if any(source.task_id not in lookup.upstream_task_ids for source in wanted):
        return None
    read: Any = (
        supervisor.pushed(instance, lookup.dag, wanted)
        if AIRFLOW_3
        else tables.pushed(instance.dag_id, instance.run_id, wanted)
    )
    try:
        plan = Plan(expand_input, read.get)
        first = plan[0].get(argument) if len(plan) and argument else None
    except PlanError as error:
        log.info("The plan of %s can't be read: %s", task.task_id, error)
        return None
    return _partition_in(first)


def _partition_in(given: Any) -> Mapping[str, Any] | None:
    """Return a partition, or the first of a batch."""
    held = Slice.of(given)
    batch = held.ends if held is not None else given
    first = batch[0] if isinstance(batch, list) and batch else batch
    return first if isinstance(first, Mapping) else None
