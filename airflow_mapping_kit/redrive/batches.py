"""Which items of batches run again with the instances that work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.checkpoint import outlive_tries
from airflow_mapping_kit.compat import expand_input_of
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.batches import batched
from airflow_mapping_kit.plans.notes import noted
from airflow_mapping_kit.plans.planned import Plan, calls_functions, sources
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_mapping_kit.redrive.wanted import Redrive


def about_batches(dag: Any, wanted: Mapping[str, Redrive], *, fresh: bool) -> list[str]:
    """Return a sentence a task whose pieces are batches, about which of their items run again.

    :param dag: the DAG, declared or serialized.
    :param wanted: what runs again, by run id.
    :param fresh: whether all items of a batch are done again.
    """
    places: dict[str, dict[str, set[int]]] = {}
    ended: set[str] = set()
    for run_id, one in wanted.items():
        for piece in one.pieces:
            if piece.map_index >= 0:
                places.setdefault(piece.task_id, {}).setdefault(run_id, set()).add(piece.map_index)
                if piece.state == SUCCESS:
                    ended.add(piece.task_id)
    return [
        _items(dag.get_task(task_id), fresh=fresh, ended=task_id in ended)
        for task_id, runs in places.items()
        if any(_holds_batches(dag.get_task(task_id), run_id, its) for run_id, its in runs.items())
    ]


def _holds_batches(operator: Any, run_id: str, indexes: Collection[int]) -> bool:
    """Tell whether any of some pieces is a batch: a task may be mapped over batches, or over single partitions."""
    how, expand_input = batched(operator), expand_input_of(operator)
    # Functions of the DAG's author are not called to say a word of batches.
    if how is None or expand_input is None or calls_functions(expand_input.value):
        return False
    order = (noted(operator) or {}).get("order")
    try:
        found = tables.pushed(operator.dag.dag_id, run_id, sources(expand_input))
        plan = Plan(expand_input, found.get, order=order)
    except PlanError:
        # The generator failed, or its XCom was deleted: then these pieces may be anything.
        return False
    return any(
        found is not None
        for index in indexes
        if index < len(plan)
        for found in (how.batch(plan[index]), how.slice(plan[index]), how.part(plan[index]))
    )


def _items(operator: Any, *, fresh: bool, ended: bool) -> str:
    name = operator.task_id
    if fresh:
        return f"Of these batches of {name} all items run again, those that are done too (--fresh)."
    if not outlive_tries(operator):
        return f"Of these batches of {name} all items run again: nothing keeps what is done of them."
    said = f"Of these batches of {name} only the items that are not done run again"
    # See `checkpoint.carry_over`.
    return f"{said}; of those that succeeded as a whole, all." if ended else f"{said}."
