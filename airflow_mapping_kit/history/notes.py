"""What a history can't know, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import is_serialized
from airflow_mapping_kit.history.plans import NEVER, NOT_YET
from airflow_mapping_kit.plans.notes import said_of_missing
from airflow_mapping_kit.plans.planned import calls_functions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work

_NAMED = 3


def notes_about(dag: Any, target: Target, works: Sequence[Work], matrix: Matrix) -> list[str]:
    """Return what is not known of partitions, of runs that can't be read, and of periods too many to be missing."""
    missing = said_of_missing(dag)
    found = [] if missing is None else [missing]
    if calls_functions(target.expand_input.value) and is_serialized(dag.get_task(target.task_ids[0])):
        found.append(
            f"{target.name} is mapped over what a function makes of a list. It is called in a task alone, so "
            f"partitions are named here by what it is given."
        )
    unread: dict[str, list[str]] = {}
    for work in works:
        if work.run.unread not in (None, NEVER, NOT_YET):
            unread.setdefault(str(work.run.unread), []).append(work.run.id)
    for why, run_ids in unread.items():
        found.append(f"Not counted: {_named(run_ids)}: {why}.")
    found += _of_references(target, works)
    for name, first, last in matrix.gaps:
        found.append(f"No run has {name} {first} to {last}: too many to be shown as missing.")
    for name, others in matrix.changed.items():
        found.append(
            f"{name} {others[-1]} and what is before it were made by another cadence or time zone than the DAG has "
            f"now: nothing is shown as missing until then."
        )
    return found


def _of_references(target: Target, works: Sequence[Work]) -> list[str]:
    """Return which runs have batches in place of their items, and why."""
    found = []
    those = [work for work in works if work.pieces.unread]
    many = [work for work in those if work.closed is None]
    if many:
        most = max(work.pieces.unread for work in many)
        found.append(
            f"Shown by their batches: {_named([work.run.id for work in many])}. A run of them has up to {most:,} "
            f"items, too many to be shown one by one: `mapping-kit status {target.dag_id} {many[0].run.id} "
            f"{target.name}` shows those of a run."
        )
    closed: dict[str, list[str]] = {}
    for work in those:
        if work.closed is not None:
            closed.setdefault(work.closed, []).append(work.run.id)
    found += [
        f"Shown by their batches: {_named(run_ids)}. Their items can't be read here: {why}."
        for why, run_ids in closed.items()
    ]
    return found


def _named(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - _NAMED:,} more" if len(run_ids) > _NAMED else ""
    return f"{', '.join(run_ids[:_NAMED])}{more}"
