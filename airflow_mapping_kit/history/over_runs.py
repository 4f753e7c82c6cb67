"""The history of a DAG's partitions, read from Airflow's own tables in a fixed number of queries."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import own_session
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import plans
from airflow_mapping_kit.history.errors import records
from airflow_mapping_kit.history.expected import Expected, expected_of, overdue_periods
from airflow_mapping_kit.history.found import History
from airflow_mapping_kit.history.items import items_of
from airflow_mapping_kit.history.matrix import Matrix
from airflow_mapping_kit.history.overlaps import since, to_read
from airflow_mapping_kit.history.reckoning import Reckoning
from airflow_mapping_kit.history.stale import STALE, Stale, find_stale
from airflow_mapping_kit.history.tables import Tables
from airflow_mapping_kit.history.targets import Target, target_of, targets_of
from airflow_mapping_kit.history.work import Run, Work
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.notes import said_of_missing
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT = 400
# So many instances are looked at, and so many pieces: of as many of the newest runs as have them.
INSTANCES, PIECES = 300_000, 4_000_000


def history(dag: Any, task_id: str | None = None, run_id: str | None = None, limit: int = LIMIT) -> History:
    """Return the newest state of every partition of a mapped task over the runs of its DAG.

    :param dag: the DAG, as it is declared or as the database has it.
    :param task_id: the mapped task, the mapped group, or a task within one; needless where the DAG has one.
    :param run_id: what became of its partitions in this run alone; what failed there and was loaded later is `h`.
    :param limit: how many of the newest runs are looked at.
    :raises PlanError: if the DAG has nothing of the kind, or no such run.

    Example: of three origins on two days, of which the second failed for `LGA`, `history(dag).letters` is
    `b"ooooof"`, and `history(dag).partition(5)` is `{"date": "2013-01-02", "origin": "LGA"}`.
    """
    targets = targets_of(dag)
    target = target_of(dag, task_id)
    now = datetime.now(timezone.utc)
    with own_session() as session:
        tables = Tables(session, target.dag_id, target.task_ids)
        works, notes = _works(tables, limit, run_id, now)
        missing = said_of_missing(dag)
        notes += [] if missing is None else [missing]
        plans.read_plans(tables, target, works)
        works, more = _within_room(works, run_id)
        notes += more
        bounds = since(works)
        _read_tries(tables, target, works, bounds, run_id=run_id, now=now)
        items = items_of(tables, target, works)
        works.sort(key=lambda work: (work.run.started, work.number), reverse=True)
        only = next((work for work in works if work.run.id == run_id), None)
        late, why = _overdue(tables, target, dag, now, run_id)
        notes += why
        waiting = _waiting(target, works, dag)
        shown_here = [one for place, one in waiting.items() if only in (None, works[place])]
        matrix = Matrix(target, works, _more(target, late, shown_here), only)
        _read_overlapping(tables, works, matrix, bounds, now)
        letters = {place: one.letters for place, one in items.items()}
        cells = {place: one.cells(matrix, target.form) for place, one in waiting.items() if target.form}
        gaps = {place for place, one in waiting.items() if one.gaps}
        reckoning = Reckoning(target, matrix, works, letters, cells, gaps, now, run_id)
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


def _works(tables: Tables, limit: int, run_id: str | None, now: datetime) -> tuple[list[Work], list[str]]:
    """Return the runs, the newest first, with the numbers of their instances."""
    rows = tables.runs(limit + 1, run_id)
    notes = []
    if run_id is not None and all(row.run_id != run_id for row in rows):
        raise PlanError(
            f"There is no run {shown(run_id)} of this DAG: it was deleted, or the id is mistyped."
        )
    if len([row for row in rows if row.run_id != run_id]) > limit:
        others = [row for row in rows if row.run_id != run_id][:limit]
        rows = [row for row in rows if row.run_id == run_id or row in others]
        notes.append(
            f"Only the newest {limit:,} runs were looked at: what older ones left is not known here."
        )
    works = {row.run_id: _work(row, now) for row in rows}
    for row in tables.counts(list(works)):
        work = works[row.run_id]
        work.by_state[row.state] = row.number
        if row.first is not None:
            work.run.started = min(work.run.started, row.first)
            if row.state == SUCCESS:
                work.span = row.first, row.last
    return list(works.values()), notes


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


def _overdue(
    tables: Tables, target: Target, dag: Any, now: datetime, run_id: str | None
) -> tuple[list[str], list[str]]:
    """Return the periods that should have been loaded by now and that no run was made for, and what is said of it."""
    if target.form is None or run_id is not None:
        return [], []
    periods, why = overdue_periods(target.form, dag, tables.scheduled(), now)
    return periods, [] if why is None else [why]


def _waiting(target: Target, works: Sequence[Work], dag: Any) -> dict[int, Expected]:
    """Return what runs will have that have no plan yet, by their place."""
    if target.form is None:
        return {}
    found = {
        place: expected_of(work, target.form, dag)
        for place, work in enumerate(works)
        if work.run.unread == plans.NOT_YET
    }
    return {place: one for place, one in found.items() if one is not None}


def _more(target: Target, late: Sequence[str], waiting: Sequence[Expected]) -> dict[str, set[str]]:
    """Return the values that dimensions have whatever the plans are."""
    if target.form is None or not (late or waiting):
        return {}
    found = {name: set(values) for name, values in target.form.values.items()}
    found[target.form.dimension] = set(late)
    for one in waiting:
        found[target.form.dimension].update(one.periods)
        for name, values in one.values.items():
            found.setdefault(name, set()).update(values)
    return found


def _within_room(works: list[Work], run_id: str | None) -> tuple[list[Work], list[str]]:
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


def _read_overlapping(
    tables: Tables, works: Sequence[Work], matrix: Matrix, bounds: Mapping[str, datetime], now: datetime
) -> None:
    """Read the instances of runs that overlapped, where their order says what became of a partition."""
    wanted = to_read(works, matrix, bounds, tables.tasks)
    by_id = {work.run.id: work for work in works}
    for row in tables.these(wanted) if wanted else ():
        by_id[row.run_id].add(row, now)
