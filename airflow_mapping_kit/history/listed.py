"""The runs that a history is made of: the newest, as many as it has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history.work import Run, Work
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_mapping_kit.history.tables import Tables

LIMIT = 400
# So many instances are looked at, and so many pieces: of as many of the newest runs as have them.
INSTANCES, PIECES = 300_000, 4_000_000


def listed(tables: Tables, limit: int, run_id: str | None, now: datetime) -> tuple[list[Work], list[str]]:
    """Return the runs, the newest first, with the numbers of their instances."""
    rows = tables.runs(limit + 1, run_id)
    notes = []
    if run_id is not None and all(row.run_id != run_id for row in rows):
        raise PlanError(
            f"There is no run {shown(run_id)} of this DAG: it was deleted, or the id is mistyped."
        )
    if len([row for row in rows if row.run_id != run_id]) > limit:
        kept = {run_id, *[row.run_id for row in rows if row.run_id != run_id][:limit]}
        rows = [row for row in rows if row.run_id in kept]
        notes.append(
            f"Only the newest {limit:,} runs were looked at: what older ones left is not known here."
        )
    works = {row.run_id: _work(row, now) for row in rows}
    for row in tables.counts(list(works)):
        work = works[row.run_id]
        work.by_state[row.state] = row.number
        if row.first is not None:
            work.first = min(work.first or row.first, row.first)
            work.run.started = min(work.run.started, row.first)
            if row.state == SUCCESS:
                work.span = row.first, row.last
    return list(works.values()), notes


def within_room(works: list[Work], run_id: str | None) -> tuple[list[Work], list[str]]:
    """Return as many of the newest runs as one history has room for."""
    instances = pieces = 0
    seen: set[int] = set()
    kept: list[Work] = []
    for work in works:
        instances += work.instances
        if id(work.pieces) not in seen:
            seen.add(id(work.pieces))
            pieces += len(work.pieces)
        if kept and (instances > INSTANCES or pieces > PIECES):
            break
        kept.append(work)
    if len(kept) == len(works):
        return works, []
    kept += [work for work in works[len(kept) :] if work.run.id == run_id]
    return kept, [
        f"Only the newest {len(kept):,} of {len(works):,} runs were looked at, which have {INSTANCES:,} instances: "
        f"what older ones left is not known here."
    ]


def _work(row: Any, now: datetime) -> Work:
    run = Run(
        row.run_id,
        str(getattr(row.run_type, "value", row.run_type)),
        str(getattr(row.state, "value", row.state)),
        row.start_date or row.queued_at or now,
        row.end_date,
        row.date,
        row.conf if isinstance(row.conf, dict) else {},
    )
    return Work(run, row.id, (row.data_interval_start, row.data_interval_end), row.due)
