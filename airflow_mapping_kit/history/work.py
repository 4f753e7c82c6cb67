"""A run, and what it did for its pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.history.pieces import NOTHING, Pieces
from airflow_mapping_kit.results import FAILED, FINISHED_RUN, NOT_STARTED, SKIPPED, SUCCESS, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass
class Run:
    """A run of a DAG, as a history shows it.

    :param kind: Airflow's type of the run: `scheduled`, `manual`, `backfill` and so on.
    :param started: when its first instance began; a clear resets what Airflow says of the run itself.
    :param date: its logical date.
    :param conf: what it was triggered with.
    :param counts: how many of its partitions are in which state, by letter.
    :param unread: why its partitions aren't known, `None` where they are.
    """

    id: str
    kind: str
    state: str
    started: datetime
    ended: datetime | None
    date: datetime | None
    conf: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)
    unread: str | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in FINISHED_RUN


class Try(NamedTuple):
    """The last try of an instance.

    :param moment: when it was tried, which orders what several runs did for one partition.
    """

    task_id: str
    state: str | None
    tries: int
    moment: datetime
    seconds: float | None
    max_tries: int


@dataclass
class Work:
    """What a run did for its pieces.

    :param number: larger for a run that was made later.
    :param interval: its data interval.
    :param due: when it was due.
    :param pieces: its plan.
    :param closed: why batches are there in place of their items though these are few enough, `None` where not so.
    :param planned: when the last part of the plan was pushed.
    :param first: when its first instance began.
    :param by_state: how many of its instances are in which state.
    :param span: from when until when those began that succeeded.
    :param tries: by map index the instances that are no success that is known by its run alone.
    """

    run: Run
    number: int
    interval: tuple[datetime | None, datetime | None] = (None, None)
    due: datetime | None = None
    pieces: Pieces = NOTHING
    closed: str | None = None
    planned: datetime | None = None
    first: datetime | None = None
    by_state: dict[str | None, int] = field(default_factory=dict)
    span: tuple[datetime, datetime] | None = None
    tries: dict[int, list[Try]] = field(default_factory=dict)

    @property
    def instances(self) -> int:
        """How many instances it has."""
        return sum(self.by_state.values())

    def add(self, row: Any, now: datetime) -> None:
        """Add an instance, as the table has it, if it is not known yet."""
        known = self.tries.setdefault(row.map_index, [])
        if any(one.task_id == row.task_id for one in known):
            return
        over, state = self.run.over, row.state
        if state == SKIPPED and _undone(self.run, row):
            state = NOT_STARTED
        if over and state in WAITING:
            state = NOT_STARTED
        if state in {SUCCESS, FAILED} and row.start_date is not None:
            moment = row.start_date
        elif over or state in {SUCCESS, FAILED, SKIPPED, NOT_STARTED, "upstream_failed", "removed"}:
            # What never began has kept the start of a try before somebody cleared it.
            moment = row.end_date or self.run.ended or self.run.started
        else:
            moment = now
        known.append(Try(row.task_id, state, row.try_number or 0, moment, row.duration, row.max_tries or 0))

    def fill(self, task_ids: Sequence[str], now: datetime) -> None:
        """Add what Airflow has no instance of, where all that it has were added: not made yet, or never."""
        for map_index in range(self.pieces.instances):
            self.fill_one(map_index, task_ids, now)

    def fill_one(self, map_index: int, task_ids: Sequence[str], now: datetime) -> None:
        """Add what Airflow has no instance of, of one piece."""
        known = self.tries.setdefault(map_index, [])
        if len(known) < len(task_ids):
            over = self.run.over
            state, moment = (NOT_STARTED, self.run.ended or self.run.started) if over else (None, now)
            there = {one.task_id for one in known}
            known += [Try(one, state, 0, moment, None, 0) for one in task_ids if one not in there]


def _undone(run: Run, row: Any) -> bool:
    """Tell whether the end of its run left an instance undone, which Airflow calls skipped: see `reading.tables`."""
    return row.end_date is None or (
        run.state == FAILED
        and run.ended is not None
        and row.updated_at is not None
        and row.updated_at >= run.ended
    )
