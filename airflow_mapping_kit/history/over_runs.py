"""The history of a DAG's partitions, read from Airflow's own tables in a fixed number of queries."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import own_session
from airflow_mapping_kit.history import plans
from airflow_mapping_kit.history.errors import records
from airflow_mapping_kit.history.expected import overdue_in, values_of, waiting_for
from airflow_mapping_kit.history.found import History
from airflow_mapping_kit.history.items import items_of
from airflow_mapping_kit.history.listed import LIMIT, listed, within_room
from airflow_mapping_kit.history.matrix import Matrix
from airflow_mapping_kit.history.moved import leave_out_moved
from airflow_mapping_kit.history.notes import notes_about
from airflow_mapping_kit.history.overlaps import since, to_read
from airflow_mapping_kit.history.reckoning import Reckoning
from airflow_mapping_kit.history.shelf import Shelf
from airflow_mapping_kit.history.stale import STALE, Stale, find_stale
from airflow_mapping_kit.history.tables import Tables
from airflow_mapping_kit.history.targets import Target, target_of, targets_of
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.history.work import Work


def history(
    dag: Any,
    task_id: str | None = None,
    run_id: str | None = None,
    limit: int = LIMIT,
    *,
    asking: str | None = None,
) -> History:
    """Return the newest state of every partition of a mapped task over the runs of its DAG.

    :param dag: the DAG, as it is declared or as the database has it.
    :param task_id: the mapped task, the mapped group, or a task within one; needless where the DAG has one.
    :param run_id: what became of its partitions in this run alone; what failed there and was loaded later is `h`.
    :param limit: how many of the newest runs are looked at.
    :param asking: the run of a task that asks, which doesn't count: what it will load depends on the answer.
    :raises PlanError: if the DAG has nothing of the kind, or no such run.

    Example: of three origins on two days, of which the second failed for `LGA`, `history(dag).letters` is
    `b"ooooof"`, and `history(dag).partition(5)` is `{"date": "2013-01-02", "origin": "LGA"}`.
    """
    targets = targets_of(dag)
    target = target_of(dag, task_id)
    now = datetime.now(timezone.utc)
    with own_session() as session:
        tables = Tables(session, target.dag_id, target.task_ids)
        works, notes = listed(tables, limit, run_id, now)
        works = [work for work in works if work.run.id != asking]
        shelf = Shelf(target.dag_id)
        plans.read_plans(tables, target, works, shelf)
        works, more = within_room(works, run_id)
        notes += more
        bounds = since(works)
        _read_tries(tables, target, works, bounds, run_id=run_id, now=now)
        notes += leave_out_moved(tables, target, works)
        items, unread = items_of(tables, target, works, shelf, now)
        notes += unread
        works.sort(key=lambda work: (work.run.started, work.number), reverse=True)
        only = next((work for work in works if work.run.id == run_id), None)
        late, why = overdue_in(tables, target, dag, now, run_id)
        notes += why
        waiting = waiting_for(target, works, dag)
        shown_here = [one for place, one in waiting.items() if only in (None, works[place])]
        matrix = Matrix(target, works, values_of(target, late, shown_here), only)
        notes += notes_about(dag, target, works, matrix)
        _read_overlapping(tables, works, matrix, bounds, now)
        letters = {place: one.letters for place, one in items.items()}
        cells = {place: one.cells(matrix, target.form) for place, one in waiting.items() if target.form}
        gaps = {place for place, one in waiting.items() if one.gaps}
        staged = _staged(tables, target, works)
        reckoning = Reckoning(target, matrix, works, letters, cells, gaps, staged, now, run_id)
        stale = Stale({}, []) if run_id else find_stale(dag, target, works, matrix, reckoning, tables)
        for cell in stale.since:
            reckoning.letters[cell] = STALE
        failed = {
            (works[place].run.id, works[place].pieces.holder(reckoning.piece_of[cell]))
            for cell, code in enumerate(reckoning.letters)
            if code in b"fF" and (place := reckoning.place_of[cell]) >= 0
        }
        found = records(tables, failed)
    return History(
        targets, target, works, matrix, reckoning,
        items=items, records=found, notes=[*notes, *stale.notes], run_id=run_id, queries=tables.queries,
    )  # fmt: skip


def _read_tries(
    tables: Tables,
    target: Target,
    works: Sequence[Work],
    bounds: Mapping[str, datetime],
    *,
    run_id: str | None,
    now: datetime,
) -> None:
    """Read the instances that can't be told from the numbers of their run."""
    read = [work for work in works if work.pieces]
    if not read:
        return
    # Where the numbers don't fit the plan some were removed, or never made, or are of another plan.
    whole = [
        work.run.id
        for work in read
        if work.run.id == run_id or work.instances != len(target.task_ids) * work.pieces.instances
    ]
    by_id = {work.run.id: work for work in read}
    for row in tables.instances(list(by_id), whole=whole, since=bounds.items()):
        by_id[row.run_id].add(row, now)
    for of_run in whole:
        by_id[of_run].fill(target.task_ids, now)


def _staged(tables: Tables, target: Target, works: Sequence[Work]) -> dict[int, str]:
    """Return which runs haven't committed what they staged, and what that is: at work, or not done."""
    if target.published_by is None:
        return {}
    states = tables.states(target.published_by, [work.run.id for work in works])
    return {
        place: "u" if work.run.over else "w"
        for place, work in enumerate(works)
        if states.get(work.run.id) != SUCCESS
    }


def _read_overlapping(
    tables: Tables, works: Sequence[Work], matrix: Matrix, bounds: Mapping[str, datetime], now: datetime
) -> None:
    """Read the instances of runs that overlapped, where their order says what became of a partition."""
    wanted = to_read(works, matrix, bounds, tables.tasks)
    by_id = {work.run.id: work for work in works}
    for row in tables.these(wanted) if wanted else ():
        by_id[row.run_id].add(row, now)
