"""Looking at child runs that are at work, again and again, and saying how far they are."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from airflow_mapping_kit.operators.dagrun.runs import is_paused, tally
from airflow_mapping_kit.operators.dagrun.states import QUEUED, RUNNING, chunked
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

log = logging.getLogger(__name__)


class Watch:
    """Looks at runs, 250 at a time, as long as some of those were in flight.

    :param dag_id: their DAG.
    :param run_ids: those that were started.
    :param done: the states in which nobody waits for a run any more.
    """

    def __init__(self, dag_id: str, run_ids: Iterable[str], done: Collection[str]) -> None:
        self._dag_id = dag_id
        self._done = frozenset(done)
        self._waiting = list(chunked(run_ids))
        self._found: dict[tuple[str, ...], Counter[str]] = {}
        self._said = ""

    def look(self) -> int:
        """Return how many of the runs are in flight; log how many are in which state, when that has changed."""
        for chunk in self._waiting:
            self._found[chunk] = tally(self._dag_id, chunk)
            # A run that somebody has deleted is one that nobody need wait for.
            self._found[chunk]["deleted"] = max(len(chunk) - self._found[chunk].total(), 0)
        self._waiting = [chunk for chunk in self._waiting if self._in_flight(self._found[chunk])]
        now = sum(self._found.values(), Counter())
        in_flight = self._in_flight(now)
        self._say(now, in_flight, paused=is_paused(self._dag_id))
        return in_flight

    def _in_flight(self, found: Counter[str]) -> int:
        return sum(number for state, number in found.items() if state not in {*self._done, "deleted"})

    def _say(self, now: Counter[str], in_flight: int, *, paused: bool) -> None:
        text = ", ".join(f"{number:,} {state}" for state, number in sorted(now.items()))
        if paused and now[QUEUED] + now[RUNNING]:
            text += f"; {self._dag_id} is paused: they wait until somebody unpauses it"
        # By allowed_states and failed_states such a run is neither: it is waited for until somebody clears it.
        if stuck := now[FAILED] if FAILED not in self._done else 0:
            text += f"; {stuck:,} failed and wait until somebody clears them"
        if text != self._said:
            level = log.warning if paused or now[FAILED] else log.info
            level(
                "%d of %d runs of %s have ended: %s", now.total() - in_flight, now.total(), self._dag_id, text
            )
        self._said = text
