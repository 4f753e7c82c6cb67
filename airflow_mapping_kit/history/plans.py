"""The plans of runs, from the XComs that their generators pushed."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, custom_xcom_backend
from airflow_mapping_kit.exceptions import MappingKitError, StorageError
from airflow_mapping_kit.history.dimensions import batches_by, pieces_of
from airflow_mapping_kit.history.kept import Kept
from airflow_mapping_kit.history.pieces import NOTHING, Pieces
from airflow_mapping_kit.history.references import references_in
from airflow_mapping_kit.partitions.hidden import as_json, digest
from airflow_mapping_kit.plans.planned import Plan, sources
from airflow_mapping_kit.reading import json_xcoms
from airflow_mapping_kit.reading.values import values_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from airflow_mapping_kit.history.shelf import Shelf
    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work
    from airflow_mapping_kit.reading.instances import Source

# So much the plans of one history may take: what is more belongs to runs that are left out.
ROOM_BYTES = 128 * 2**20
NOT_YET = "it is not expanded yet"
NEVER = "it never came to its partitions: what makes its plan has not succeeded"
DELETED = "its plan was deleted (airflow db clean), so which partitions it had is not known"
UNREADABLE = "its plan can't be read here"
NO_ROOM = "its plan has no room beside those of the newer runs"

kept = Kept()


def read_plans(
    tables: Tables, target: Target, works: Sequence[Work], shelf: Shelf, kept: Kept = kept
) -> None:
    """Give each run its plan, or say why it has none.

    :param works: newest first.
    :param shelf: reads items that are there by reference.
    """
    wanted = sources(target.expand_input)
    if not wanted:
        _of_literals(target, works, shelf)
        return
    stamps: dict[str, list[Any]] = {work.run.id: [] for work in works}
    for row in tables.stamps(list(stamps), wanted):
        stamps[row.run_id].append((row.task_id, row.key, row.map_index, row.timestamp))
    how = _how_it_is_read(target)
    keys: dict[str, Hashable] = {
        run_id: (*how, run_id, tuple(sorted(pushed))) for run_id, pushed in stamps.items() if pushed
    }
    found = {run_id: pieces for run_id, key in keys.items() if (pieces := kept.get(key)) is not None}
    cold = [run_id for run_id in keys if run_id not in found]
    failed: dict[str, str] = {}
    room = ROOM_BYTES - sum(pieces.size for pieces in {id(one): one for one in found.values()}.values())
    same: dict[str, Pieces] = {}
    closed: dict[str, str] = {}
    for run_id, of_run in groupby(tables.pushed(cold, wanted) if cold else (), lambda row: row.run_id):
        rows = list(of_run)
        if room <= 0:
            failed[run_id] = NO_ROOM
            continue
        text = _digest(rows)
        pieces = same.get(text)
        try:
            why = None
            if pieces is None:
                pieces, why = _read(target, _values(rows), shelf, run_id)
        except Exception as error:  # noqa: BLE001 -- a plan of another version of the DAG, or of a function's own
            failed[run_id] = f"{UNREADABLE}: {error}" if isinstance(error, MappingKitError) else UNREADABLE
            continue
        if why is not None:
            # By the next look it may be there.
            found[run_id], closed[run_id] = pieces, why
            continue
        found[run_id] = kept.put(keys[run_id], pieces)
        if text not in same and found[run_id] is pieces:
            room -= pieces.size
        same[text] = found[run_id]
    for work in works:
        _give(work, found.get(work.run.id), failed.get(work.run.id))
        work.closed = closed.get(work.run.id)
        work.planned = max((stamp[3] for stamp in stamps[work.run.id]), default=None)


def _give(work: Work, pieces: Pieces | None, failed: str | None) -> None:
    work.pieces = pieces or NOTHING
    if pieces is None:
        if failed is not None:
            work.run.unread = failed
        elif work.instances:
            work.run.unread = DELETED
        else:
            work.run.unread = NEVER if work.run.over else NOT_YET


def _of_literals(target: Target, works: Sequence[Work], shelf: Shelf) -> None:
    """Give each run that was expanded the plan that the DAG has now: there is no other."""
    try:
        pieces, _ = _read(target, {}, shelf, "")
    except Exception:  # noqa: BLE001 -- whatever a function of the DAG's author does
        pieces = None
    for work in works:
        if not work.instances:
            _give(work, None, None)
        elif pieces is None:
            _give(work, None, UNREADABLE)
        else:
            _give(work, pieces, None)


def _how_it_is_read(target: Target) -> tuple[Hashable, ...]:
    """Return what else the pieces of a plan depend on than on what was pushed."""
    over = target.expand_input.value
    made_by = over.values() if isinstance(over, dict) else [over]
    named = [getattr(getattr(one, "operator", None), "named_by", None) for one in made_by]
    how = [target.dag_id, target.name, over, target.order, named, target.batched and vars(target.batched)]
    return (digest(as_json(how)),)


def _read(
    target: Target, values: dict[tuple[str, str], dict[int, Any]], shelf: Shelf, run_id: str
) -> tuple[Pieces, str | None]:
    """Return the pieces of a plan, and why items that it has by reference can't be read, where they can't."""

    def read(source: Source) -> Any:
        by_index = values.get((source.task_id, source.key), {})
        if source.mapped:
            return [value for index, value in by_index.items() if index >= 0]
        return by_index.get(-1)

    plan = Plan(target.expand_input, read, order=target.order)
    held = references_in(plan, target.batched)
    if held is None or target.batched is None:
        return pieces_of(plan, target.expand_input.value, target.batched), None
    why = None
    if not held.too_many:
        try:
            batches = held.read(shelf, run_id)
            return pieces_of(plan, target.expand_input.value, target.batched, batches), None
        except StorageError as error:
            why = str(error).rstrip(".")
    return batches_by(held.names(plan, target.batched), held.items), why


def _digest(rows: Sequence[Any]) -> str:
    """Return text that is equal for what was pushed alike: most reloads have the plan of another."""
    made = hashlib.sha256()
    for row in rows:
        value = (
            row.value
            if isinstance(row.value, bytes | memoryview)
            else str(row.value).encode("utf-8", "replace")
        )
        made.update(f"{row.task_id}/{row.key}/{row.map_index}/{len(value)}/".encode())
        made.update(value)
    return made.hexdigest()


def _values(rows: Sequence[Any]) -> dict[tuple[str, str], dict[int, Any]]:
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for row, value in zip(rows, values(rows), strict=True):
        found.setdefault((row.task_id, row.key), {})[row.map_index] = value
    return found


def values(rows: Sequence[Any]) -> list[Any]:
    """Return the values of rows of `Tables`: what is plain JSON without Airflow, which calls a function a dict."""
    if custom_xcom_backend():
        return values_of(rows)
    return [_value(row) for row in rows]


def _value(row: Any) -> Any:
    try:
        return json_xcoms.plain(row.value)
    except MappingKitError:  # an object, or a pickle of Airflow 2
        return values_of([_AsAirflowHasIt(row)])[0]


class _AsAirflowHasIt:
    """A row whose value is as Airflow's model has it."""

    def __init__(self, row: Any) -> None:
        self._row = row
        self.value = json.loads(row.value) if AIRFLOW_3 and isinstance(row.value, str) else row.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)
