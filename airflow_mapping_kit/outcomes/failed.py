"""What failed of a plan, as it was mapped over: of batches the items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.outcomes.shares import Held
from airflow_mapping_kit.outcomes.states import outcome
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.batches import batched
from airflow_mapping_kit.plans.held import batch_of
from airflow_mapping_kit.plans.planned import Plan, sources
from airflow_mapping_kit.reading.instances import value_of
from airflow_mapping_kit.results import FAILURES, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.outcomes.shares import Share
    from airflow_mapping_kit.plans.batches import Batched
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Reading


def failed_pieces(mapped: Mapped, run_id: str, read: Reading) -> Iterator[Any]:
    """Yield what failed of a mapped task in a run, each as it was mapped over, in the order of the plan.

    :raises PlanError: if that can't be known.

    Example: of `load.expand(origin=["EWR", "JFK"])`, of which the second failed, it is `"JFK"`.
    """
    over, dag_id = mapped.expand_input.value, mapped.dag.dag_id
    found = outcome(mapped, run_id, read, values=False)
    if found.moved:
        raise PlanError(
            f"The plan of {mapped.name} has changed since its instances ran: clear {mapped.name} with everything "
            f"downstream."
        )
    if found.unexpanded not in (None, SKIPPED):
        raise PlanError(
            f"{mapped.name} was never expanded, so nothing of it has failed by itself: its state is "
            f"{found.unexpanded}. Mend what is before it and clear that with everything downstream."
        )
    how = batched(mapped.dag.get_task(mapped.main))
    wanted = sources(mapped.expand_input)
    pushed = read.xcoms(dag_id, run_id, {(source.task_id, source.key) for source in wanted}) if wanted else {}
    plan = Plan(mapped.expand_input, lambda source: value_of(source, pushed), order=mapped.order)
    for index, share in enumerate(found.shares):
        if not share.tally.failed:
            continue
        arguments = plan[index]
        is_batch = how is not None and (how.batch(arguments) is not None or how.slice(arguments) is not None)
        if how is None or not is_batch:
            yield _alone(arguments, over)
            continue
        batch = batch_of(arguments[how.argument], read, dag_id, run_id)
        for place in _places(share, how, arguments, batch):
            yield _alone({**arguments, how.argument: batch[place]}, over)


def _places(share: Share, how: Batched, arguments: Mapping[str, Any], batch: list[Any]) -> list[int]:
    """Return where the items that failed are in their batch."""
    if isinstance(share, Held):
        return [place for place, row in enumerate(share.rows()) if row["state"] in FAILURES]
    first = share.extent.first if isinstance(share, Part) else 0
    failed: Any = list(share.failures())
    if all("item" in row for row in failed):
        return sorted(row["item"] - first for row in failed)
    # Of a plan that is not counted the keys are told apart within the batch.
    keys = {row["key"] for row in failed}
    named = distinct(item.key for item in how.items(arguments, batch))
    return [place for place, key in enumerate(named) if key in keys]


def _alone(arguments: dict[str, Any], over: Any) -> Any:
    """Return the one argument that a piece has, or all by name."""
    if isinstance(over, dict) and len(over) == 1:
        return next(iter(arguments.values()))
    return arguments
