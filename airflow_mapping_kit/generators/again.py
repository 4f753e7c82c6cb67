"""The plan of a generator in a run that repeats what another run has not done: only these items, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.redrive.again import Again

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Reading


class Given(NamedTuple):
    """Items, and the size of a batch."""

    items: Iterable[Any]
    size: int
    said: str


def given_again(task_id: str, context: Any) -> Given | None:
    """Return the plan that replaces the one of the function, `None` in any other run.

    :raises MappingKitError: if it can't be known any more.
    """
    again = Again.of(context["dag_run"].conf)
    if again is None:
        return None
    # Below is all that reads a run, which no generator needs in other runs.
    from airflow_mapping_kit.plans.mapped import mapped_in
    from airflow_mapping_kit.redrive.undone import Undone, maker_of

    named = [mapped for mapped in mapped_in(context["dag"]) if mapped.name in again.names]
    targets = [mapped for mapped in named if maker_of(mapped) == task_id]
    if not targets:
        return Given(
            (), 1, f"The run works on what {again.run_id} has not done, which is nothing of {task_id}'s."
        )
    found = Undone(
        task_id, targets, again.run_id, lambda mapped: _reading(mapped, again.run_id, context["ti"])
    )
    said = f"{found.count:,} items of {len(found.places):,} batches that {again.run_id} has not done"
    return Given(found.items(), found.size, said)


def _reading(mapped: Mapped, run_id: str, task_instance: Any) -> Reading:
    if AIRFLOW_3:  # a task has no database there
        from airflow_mapping_kit.reading.supervisor import Supervisor

        return Supervisor(task_instance, mapped.task_ids, run_id=run_id)
    from airflow_mapping_kit.reading import tables

    return tables
