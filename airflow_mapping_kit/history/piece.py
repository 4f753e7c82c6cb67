"""The history of one partition: every run that had it, how often it was tried there, and what stopped it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import own_session
from airflow_mapping_kit.history import plans
from airflow_mapping_kit.history.errors import records
from airflow_mapping_kit.history.items import items_of
from airflow_mapping_kit.history.listed import LIMIT, listed, within_room
from airflow_mapping_kit.history.pieces import Pieces, key_of
from airflow_mapping_kit.history.shelf import Shelf
from airflow_mapping_kit.history.states import LETTERS, letter_of, of_piece
from airflow_mapping_kit.history.tables import Tables
from airflow_mapping_kit.history.targets import target_of
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, components

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.history.of_parts import Items
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Run, Work


@dataclass(frozen=True)
class Tried:
    """An instance that worked on a partition, in its last try.

    :param state: in a word, as `LETTERS` has them.
    :param seconds: how long it took, `None` where it never began.
    :param label: what Airflow's pages call it.
    :param error: what stopped it, `{"type", "message"}`, `None` where nothing did or nothing is kept.
    """

    task_id: str
    state: str
    try_number: int
    started: datetime | None
    seconds: float | None
    label: str | None
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Turn:
    """What became of a partition in one run.

    :param map_index: of its instances.
    :param state: in a word, as `LETTERS` has them.
    :param tasks: its instances, one a task.
    """

    run: Run
    map_index: int
    state: str
    tasks: list[Tried]


def history_of(
    dag: Any, partition: str | Mapping[str, str | None], task_id: str | None = None, limit: int = LIMIT
) -> list[Turn]:
    """Return what became of one partition in every run that had it, the newest first.

    Two queries more than a history's runs and plans take, and one for each of errors and items.

    :param dag: the DAG, as it is declared or as the database has it.
    :param partition: its key, `date=2013-01-01/origin=LGA`, or the values of its dimensions as text.
    :param task_id: the mapped task, the mapped group, or a task within one; needless where the DAG has one.
    :param limit: how many of the newest runs are looked at.
    :raises PlanError: if the DAG has nothing of the kind.
    :raises PartitionError: if the partition is no key.

    Example: of a partition that failed and was loaded by a second run there are two turns, `loaded` and `failed`.
    """
    target = target_of(dag, task_id)
    now = datetime.now(timezone.utc)
    with own_session() as session:
        tables = Tables(session, target.dag_id, target.task_ids)
        works, _ = listed(tables, limit, None, now)
        shelf = Shelf(target.dag_id)
        plans.read_plans(tables, target, works, shelf)
        works, _ = within_room(works, None)
        at = {
            work.run.id: (work, piece)
            for work in works
            if (piece := _place(work.pieces, partition)) is not None
        }
        held = {run_id: work.pieces.holder(piece) for run_id, (work, piece) in at.items()}
        rows: dict[str, list[Any]] = {run_id: [] for run_id in held}
        for row in tables.these(set(held.items()), labelled=True) if held else ():
            if row.map_index == held[row.run_id]:
                rows[row.run_id].append(row)
                at[row.run_id][0].add(row, now)
        those = [work for work, _ in at.values()]
        failed = {
            (work.run.id, index)
            for work in those
            for index, tries in work.tries.items()
            for one in tries
            if one.state == "failed"
        }
        items, _ = items_of(tables, target, those, shelf, now)
        found = records(tables, failed)
    turns = [
        _turn(
            target,
            work,
            piece,
            rows[run_id],
            items.get((run_id, held[run_id])),
            found.get((run_id, held[run_id])),
        )
        for run_id, (work, piece) in at.items()
    ]
    return sorted(turns, key=lambda turn: turn.run.started, reverse=True)


def _place(pieces: Pieces, partition: str | Mapping[str, str | None]) -> int | None:
    """Return which piece of a plan a partition is, `None` if none."""
    if not pieces:
        return None
    if pieces.by_key:
        key = (
            partition
            if isinstance(partition, str)
            else key_of(list(partition), [_text(one) for one in partition.values()])
        )
        (values,), (codes,) = pieces.values, pieces.codes
        return codes.index(values.index(key)) if key in values else None
    named = components(partition) if isinstance(partition, str) else partition
    if set(named) != set(pieces.names):
        return None
    wanted = [_text(named[name]) for name in pieces.names]
    if any(value not in values for value, values in zip(wanted, pieces.values, strict=True)):
        return None
    place = tuple(values.index(value) for value, values in zip(wanted, pieces.values, strict=True))
    return next((n for n, one in enumerate(zip(*pieces.codes, strict=True)) if one == place), None)


def _text(value: str | None) -> str:
    return DEFAULT_PARTITION if value is None else value


def _turn(
    target: Target, work: Work, piece: int, rows: Sequence[Any], items: Items | None, error: Any
) -> Turn:
    index = work.pieces.holder(piece)
    work.fill_one(index, target.task_ids, datetime.now(timezone.utc))
    letter = of_piece(work.tries[index], len(target.task_ids), target.ends) or "u"
    row = None
    if items is not None:
        number = piece - work.pieces.held_by(index).start
        letter, row = items.letters[number], items.rows[number]
    states = {one.task_id: one.state for one in work.tries[index]}
    order = {task_id: n for n, task_id in enumerate(target.task_ids)}
    tasks = [
        Tried(
            one.task_id,
            LETTERS[letter if row is not None else letter_of(states[one.task_id])],
            one.try_number if row is None else row.get("tries") or one.try_number,
            one.start_date,
            one.duration if row is None else row.get("duration_s"),
            one.label,
            _error(row.get("error") if row is not None else error if one.state == "failed" else None),
        )
        for one in sorted(rows, key=lambda one: order[one.task_id])
    ]
    return Turn(work.run, index, LETTERS[letter], tasks)


def _error(error: Any) -> dict[str, Any] | None:
    if isinstance(error, str):
        return {"type": None, "message": error}
    return error if isinstance(error, dict) else None
