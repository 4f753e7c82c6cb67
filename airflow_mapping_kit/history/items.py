"""What became of the items of batches, where their instance alone does not tell: it failed, or skipped some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.history import outputs
from airflow_mapping_kit.history.pieces import key_of
from airflow_mapping_kit.history.plans import values
from airflow_mapping_kit.history.saved import saved
from airflow_mapping_kit.history.states import letter_of
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.pieces import Pieces
    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work

    Place = tuple[str, int]

# Of so many batches that succeeded, the newest, the database looks whether items were skipped.
LOOKED_INTO = 5000


@dataclass(frozen=True)
class Items:
    """The items of one batch, in its order.

    :param letters: what became of each.
    :param rows: what is kept of each, `None` where nothing is.
    """

    letters: list[str]
    rows: list[Any]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.letters)


def items_of(tables: Tables, target: Target, works: Sequence[Work], now: datetime) -> dict[Place, Items]:
    """Return what became of the items of batches that failed or skipped some, by run and map index.

    Three queries at most, however many batches there are.

    :param works: newest first. Batches that succeeded and skipped some become known by themselves.
    """
    of_batches = [work for work in works if work.pieces.ends is not None]
    if target.batched is None or not of_batches:
        return {}
    return {**_partly_skipped(tables, target, of_batches, now), **_failed(tables, target, of_batches)}


def _failed(tables: Tables, target: Target, works: Sequence[Work]) -> dict[Place, Items]:
    failed = {
        (work.run.id, index): (work.pieces, one.max_tries)
        for work in works
        for index, tries in work.tries.items()
        for one in tries
        if index < work.pieces.instances and one.state == FAILED
    }
    if not failed:
        return {}
    found: dict[Place, Items] = {}
    told: set[Place] = set()
    rows = outputs.of_failed(tables, {run_id for run_id, _ in failed}, target.items_keys)
    for row, value in zip(rows, values(rows), strict=True):
        place = row.run_id, row.map_index
        if place in failed and _are_results(value) and len(value) == len(failed[place][0].held_by(place[1])):
            told.add(place)
            # Somebody marked it failed afterwards: then so are its items.
            if any(one["state"] in {FAILED, NOT_STARTED} for one in value):
                found[place] = Items([letter_of(one["state"]) for one in value], value)
    killed = {place: max_tries for place, (_, max_tries) in failed.items() if place not in told}
    for place, results in saved(tables, target, killed).items():
        found[place] = _of_saved(failed[place][0], place[1], results)
    return found


def _of_saved(pieces: Pieces, map_index: int, results: Sequence[dict[str, Any]]) -> Items:
    """Return the items of a batch that was killed: those that were not saved are as failed as it is."""
    by_key = {row["key"]: row for row in results}
    held = pieces.held_by(map_index)
    keys = [
        pieces.of(n)[0].partition("#")[0] if pieces.by_key else key_of(pieces.names, pieces.of(n))
        for n in held
    ]
    rows = [by_key.get(key) for key in distinct(keys)]
    return Items([letter_of(FAILED if row is None else row["state"]) for row in rows], rows)


def _partly_skipped(
    tables: Tables, target: Target, works: Sequence[Work], now: datetime
) -> dict[Place, Items]:
    looked_into, number = [], 0
    for work in works:
        number += work.by_state.get("success", 0)
        if number > LOOKED_INTO:
            break
        looked_into.append(work)
    by_id = {work.run.id: work for work in looked_into}
    if not by_id or not target.items_keys:
        return {}
    found: dict[Place, Items] = {}
    rows = outputs.of_partly_skipped(tables, list(by_id), target.items_keys)
    for row, value in zip(rows, values(rows), strict=True):
        work = by_id[row.run_id]
        if row.map_index >= work.pieces.instances or not _are_results(value):
            continue
        if len(value) == len(work.pieces.held_by(row.map_index)) and any(
            one["state"] == SKIPPED for one in value
        ):
            work.add(row, now)
            letters = ["s" if one["state"] == SKIPPED else "o" for one in value]
            found[row.run_id, row.map_index] = Items(letters, value)
    return found


def _are_results(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "state" in one for one in value)
