"""All DAGs that have partitions, worst first: how many of each are in which state.

What a history took is kept in the memory of the process until something changes that it is made of. One look takes a
bounded time; what it did not get to is said, and reckoned when it is asked for again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import dag_marks, dag_rows, may_be_mapped, newest_dag, own_session
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.history import changes
from airflow_mapping_kit.history.marks import marks, newest_event
from airflow_mapping_kit.history.over_runs import history
from airflow_mapping_kit.history.states import not_loaded
from airflow_mapping_kit.history.targets import targets_of
from airflow_mapping_kit.reading.records import error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime

    from airflow_mapping_kit.history.changes import Upstream
    from airflow_mapping_kit.history.found import History
    from airflow_mapping_kit.history.marks import Mark

log = logging.getLogger(__name__)

SECONDS = 1.0
_KEPT = 10_000


@dataclass(frozen=True)
class Summary:
    """The partitions of a DAG in numbers: of several mapped tasks, those of the worst.

    :param name: what Airflow's pages call the DAG.
    :param counts: how many partitions have which letter; `None` where that isn't reckoned yet.
    :param partitions: how many there are.
    :param newest: when the newest run began that has any.
    :param task: the mapped task or group.
    :param tasks: how many of them the DAG has.
    :param trouble: why nothing is known, `None` where it is.
    """

    dag_id: str
    name: str
    paused: bool
    counts: dict[str, int] | None = None
    partitions: int = 0
    newest: datetime | None = None
    task: str | None = None
    tasks: int = 0
    trouble: str | None = None

    @property
    def not_loaded(self) -> int:
        """How many partitions are failed or missing, those of which older data are there too."""
        return not_loaded(self.counts)

    @property
    def stale(self) -> int:
        """How many were loaded before their upstream changed."""
        return (self.counts or {}).get("t", 0)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON, counts by letter."""
        return {
            "id": self.dag_id,
            "name": self.name,
            "paused": self.paused,
            "counts": self.counts,
            "partitions": self.partitions,
            "newest": self.newest and self.newest.isoformat(),
            "task": self.task,
            "tasks": self.tasks,
            "trouble": self.trouble,
        }


class Overview(NamedTuple):
    """What is known of all DAGs that have partitions.

    :param dags: the worst first, and at last those of which nothing is known yet.
    :param pending: how many have changed since they were reckoned, or never were: ask again.
    """

    dags: list[Summary]
    pending: int


class _Known(NamedTuple):
    """A DAG as it was when it was reckoned.

    :param stored: what changes with the DAG itself.
    :param mark: what changes with its runs.
    :param event: the newest event of any asset.
    :param events: of a DAG that reads assets what changes with their events.
    :param summary: `None` of a DAG without partitions.
    """

    stored: str
    mark: Mark | None = None
    event: int | None = None
    reads: tuple[Upstream, ...] = ()
    events: tuple[Any, ...] = ()
    summary: Summary | None = None


_known: OrderedDict[str, _Known] = OrderedDict()
_reckoning = threading.Lock()


def overview(
    dag_ids: Collection[str],
    may_see: Callable[[str], bool] = lambda _: True,
    *,
    seconds: float = SECONDS,
) -> Overview:
    """Return which of some DAGs have partitions, and how many are in which state.

    DAGs that are paused are among them, those whose file is gone are not.

    :param dag_ids: those that may be read.
    :param may_see: whether the runs of one may be too; asked of those that have partitions.
    :param seconds: so long new histories are begun.
    """
    until = time.monotonic() + seconds
    with own_session() as session:
        rows = {row.dag_id: row for row in dag_rows(list(dag_ids), session) if not row.gone}
        stored = dag_marks(list(rows), session)
        new = [dag_id for dag_id in stored if dag_id not in _known or _known[dag_id].stored != stored[dag_id]]
        mapped = may_be_mapped(new, session) if new else set()
        for dag_id in set(new) - mapped:
            _keep(dag_id, _Known(stored[dag_id]))
        known = {dag_id for dag_id in stored.keys() - set(new) if _known[dag_id].summary is not None}
        seen = [dag_id for dag_id in sorted(mapped | known) if may_see(dag_id)]
        # A DAG that never ran has none.
        now = marks(seen, session) if seen else {}
        event = newest_event(session)
        waiting = [
            dag_id for dag_id in now if not _is_same(dag_id, stored[dag_id], now[dag_id], event, session)
        ]
    # Those that were never reckoned first.
    waiting.sort(key=lambda dag_id: (dag_id in _known, dag_id))
    done = 0
    if waiting and _reckoning.acquire(blocking=False):
        try:
            while done < len(waiting) and not (done and time.monotonic() >= until):
                dag_id = waiting[done]
                _keep(dag_id, _reckoned(dag_id, stored[dag_id], now[dag_id], event))
                done += 1
        finally:
            _reckoning.release()
    found = [
        replace(summary, name=rows[dag_id].name, paused=rows[dag_id].paused)
        for dag_id, summary in _summaries(now)
        if summary is not None
    ]
    found.sort(
        key=lambda one: (one.counts is None, one.trouble is None, -one.not_loaded, -one.stale, one.dag_id)
    )
    return Overview(found, len(waiting) - done)


def _is_same(dag_id: str, stored: str, mark: Mark, event: int | None, session: Any) -> bool:
    """Tell whether a DAG is as it was when it was reckoned."""
    known = _known.get(dag_id)
    if known is None or known.stored != stored:
        return False
    if known.mark != mark:
        return False
    if known.reads and known.event != event:
        if known.events != _events(known.reads, session):
            return False
        # Some other asset's.
        _keep(dag_id, known._replace(event=event))
    return True


def _events(reads: Iterable[Upstream], session: Any) -> tuple[Any, ...]:
    return tuple(changes.mark(one, session) for one in reads)


def _summaries(dag_ids: Iterable[str]) -> Iterator[tuple[str, Summary | None]]:
    for dag_id in dag_ids:
        known = _known.get(dag_id)
        yield dag_id, Summary(dag_id, dag_id, False) if known is None else known.summary


def _reckoned(dag_id: str, stored: str, mark: Mark, event: int | None) -> _Known:
    """Return a DAG as it is now, as far as that is what its marks say."""
    made = _Known(stored, mark, event)
    try:
        with own_session() as session:
            dag = newest_dag(dag_id, session)
            targets = targets_of(dag) if dag is not None else []
            reads = (changes.upstream(dag, target.task_ids) for target in targets)
            made = made._replace(reads=tuple(dict.fromkeys(one for one in reads if one)))
            made = made._replace(events=_events(made.reads, session))
        each = [_summary(history(dag, target.name), len(targets)) for target in targets]
    except Exception as error:  # noqa: BLE001 -- of one DAG that can't be read the others are shown all the same
        trouble = said(error_of(error))
        log.warning("The states of the partitions of %s can't be derived: %s", dag_id, trouble)
        return made._replace(summary=Summary(dag_id, dag_id, False, {}, trouble=trouble))
    worst = max(each, key=lambda one: (one.not_loaded, one.stale, one.partitions), default=None)
    return made._replace(summary=worst)


def _summary(found: History, tasks: int) -> Summary:
    counts = found.counts
    return Summary(
        found.dag_id,
        found.dag_id,
        False,
        counts,
        sum(counts.values()),
        max((run.started for run in found.runs if run.counts), default=None),
        found.target.name,
        tasks,
    )


def _keep(dag_id: str, known: _Known) -> None:
    _known[dag_id] = known
    _known.move_to_end(dag_id)
    while len(_known) > _KEPT:
        _known.popitem(last=False)
