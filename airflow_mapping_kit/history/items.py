"""What became of the items of batches, where their instance alone does not tell: it failed, or skipped some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.history import outputs
from airflow_mapping_kit.history.of_parts import Items, Unread, keys_of, of_part
from airflow_mapping_kit.history.plans import values
from airflow_mapping_kit.history.saved import saved
from airflow_mapping_kit.history.states import letter_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED, SUCCESS, UPSTREAM_FAILED, part_of
from airflow_mapping_kit.storage.place import root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.pieces import Pieces
    from airflow_mapping_kit.history.shelf import Shelf
    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Try, Work

    Place = tuple[str, int]

# Of so many batches that succeeded, the newest, the database looks whether items were skipped.
LOOKED_INTO = 5000
_NOT_DONE = {letter_of(FAILED), letter_of(NOT_STARTED)}
# So may be items of a batch that succeeded.
_NOT_WORKED_ON = {letter_of(SKIPPED), letter_of(UPSTREAM_FAILED)}


def items_of(
    tables: Tables, target: Target, works: Sequence[Work], shelf: Shelf, now: datetime
) -> tuple[dict[Place, Items], list[str]]:
    """Return what became of the items of batches that failed or skipped some, by run and map index.

    Two queries, and what a killed instance and a part of results keep elsewhere. Of what cannot be read there the
    summaries tell.

    :param works: newest first. Batches that succeeded and skipped some become known by themselves.
    :return: beside it what is to be said of what could not be read.
    """
    of_batches = [work for work in works if work.pieces.ends is not None]
    if target.batched is None or not of_batches:
        return {}, []
    unread = Unread()
    found = _partly_done(tables, target, of_batches, shelf, unread, now)
    found |= _failed(tables, target, of_batches, shelf, unread)
    return found, unread.notes


def _failed(
    tables: Tables, target: Target, works: Sequence[Work], shelf: Shelf, unread: Unread
) -> dict[Place, Items]:
    failed = {
        (work.run.id, index): (work.pieces, one)
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
        if place not in failed:
            continue
        items = _told(value, failed[place][0], place, shelf, unread)
        if items is None:
            continue
        told.add(place)
        # Somebody marked it failed afterwards: then so are its items.
        if not _NOT_DONE.isdisjoint(items.letters):
            found[place] = items
    killed = {place: one for place, (_, one) in failed.items() if place not in told}
    for place, left in _left_by(tables, target, killed, shelf, unread).items():
        found[place] = _of_left(failed[place][0], place[1], left)
    return found


def _left_by(
    tables: Tables, target: Target, killed: Mapping[Place, Try], shelf: Shelf, unread: Unread
) -> Mapping[Place, Sequence[Mapping[str, Any]]]:
    """Return the rows that killed instances had saved: from Airflow's tables in one query, else file by file."""
    try:
        if root() is None:
            return saved(tables, target, {place: one.max_tries for place, one in killed.items()})
    except StorageError as error:
        unread.add(error)
        return {}
    found = {}
    for place, one in killed.items():
        try:
            left = shelf.left(target.mapped.dag.get_task(one.task_id), *place, one.max_tries)
        except StorageError as error:
            unread.add(error)
            continue
        if left:
            found[place] = left
    return found


def _told(value: Any, pieces: Pieces, place: Place, shelf: Shelf, unread: Unread) -> Items | None:
    """Return what an instance says of its items, `None` if it says nothing, or of other ones."""
    held = pieces.held_by(place[1])
    part = part_of(value)
    if part is not None:
        try:
            return of_part(part, pieces, place, shelf, unread) if part["count"] == len(held) else None
        except (KeyError, TypeError, ValueError):  # anybody may push what looks like one
            return None
    if not _are_results(value) or len(value) != len(held):
        return None
    return Items([letter_of(one["state"]) for one in value], value)


def _of_left(pieces: Pieces, map_index: int, left: Sequence[Mapping[str, Any]]) -> Items:
    """Return the items of a batch that was killed: those that were not saved are as failed as it is."""
    by_key = {row["key"]: row for row in left}
    rows = [by_key.get(key) for key in keys_of(pieces, map_index)]
    return Items([letter_of(FAILED if row is None else row["state"]) for row in rows], rows)


def _partly_done(
    tables: Tables, target: Target, works: Sequence[Work], shelf: Shelf, unread: Unread, now: datetime
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
    # Of a chain an item may have failed before; whether its batch succeeds says the trigger rule.
    chained = target.batched is not None and target.batched.chained
    states = [SKIPPED, UPSTREAM_FAILED] if chained else [SKIPPED]
    rows = outputs.of_partly_done(tables, list(by_id), target.items_keys, states)
    for row, value in zip(rows, values(rows), strict=True):
        work, place = by_id[row.run_id], (row.run_id, row.map_index)
        items = (
            _told(value, work.pieces, place, shelf, unread) if row.map_index < work.pieces.instances else None
        )
        if items is not None and not _NOT_WORKED_ON.isdisjoint(items.letters):
            work.add(row, now)
            letters = [letter if letter in _NOT_WORKED_ON else letter_of(SUCCESS) for letter in items.letters]
            found[place] = Items(letters, items.rows)
    return found


def _are_results(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "state" in one for one in value)
