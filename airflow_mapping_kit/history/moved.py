"""Instances that worked on other pieces than their run's plan has now: somebody had the generator alone run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import outputs
from airflow_mapping_kit.history.pieces import Pieces, key_of
from airflow_mapping_kit.history.work import Try
from airflow_mapping_kit.plans.planned import sources
from airflow_mapping_kit.reading import json_xcoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work


def leave_out_moved(tables: Tables, target: Target, works: Sequence[Work]) -> list[str]:
    """Have instances that worked on something else count for no partition, and return what can't be known.

    Asks nothing where every plan was there before its instances began, else one query.
    """
    doubtful = {
        work.run.id: work
        for work in works
        if work.pieces and work.planned is not None and work.first is not None and work.first < work.planned
    }
    if not doubtful:
        return []
    if not target.collected or any(work.pieces.of_batches for work in doubtful.values()):
        # Of a mapped source one instance may have run again, which changes no plan.
        if all(source.mapped for source in sources(target.expand_input)):
            return []
        return [
            f"The plan of {_named(list(doubtful))} is newer than instances that worked on it, which are shown as if "
            f"they had worked on what it has now: they keep no record of their partition."
        ]
    moved: dict[str, set[int]] = {}
    for row in outputs.recorded(tables, list(doubtful)):
        work = doubtful[row.run_id]
        if work.planned is None or row.start_date is None or row.start_date >= work.planned:
            continue
        worked_on = _key(row.value, row.try_number)
        known = worked_on is not None and row.map_index < len(work.pieces)
        if known and worked_on != _planned(work.pieces, row.map_index):
            moved.setdefault(row.run_id, set()).add(row.map_index)
    for run_id, indexes in moved.items():
        work = doubtful[run_id]
        for index in indexes:
            work.tries[index] = [Try(one, "removed", 0, work.run.started, None, 0) for one in target.task_ids]
    return [
        f"In {run_id} {len(indexes):,} instances had worked on other partitions when its plan was made anew: they "
        f"count for none."
        for run_id, indexes in moved.items()
    ]


def _key(value: str | bytes | None, try_number: int) -> str | None:
    """Return the key that an instance recorded when it began its last try, `None` where it did not."""
    try:
        record = json_xcoms.plain(value)
    except PlanError:
        return None
    if not isinstance(record, dict) or record.get("try_number") != try_number:
        return None
    key = record.get("key")
    return key if isinstance(key, str) else None


def _planned(pieces: Pieces, piece: int) -> str:
    values = pieces.of(piece)
    return values[0].partition("#")[0] if pieces.by_key else key_of(pieces.names, values)


def _named(run_ids: Sequence[str]) -> str:
    few = 3
    more = f" and {len(run_ids) - few:,} more" if len(run_ids) > few else ""
    return ", ".join(run_ids[:few]) + more
