"""Waiting for child runs in the triggerer, where it takes no slot."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_mapping_kit.compat import BaseTrigger, TriggerEvent
from airflow_mapping_kit.operators.dagrun.plan import Parent
from airflow_mapping_kit.operators.dagrun.record import kept
from airflow_mapping_kit.operators.dagrun.runs import is_paused, tally
from airflow_mapping_kit.operators.dagrun.states import QUEUED, RUNNING, UNFINISHED, chunked
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
log = logging.getLogger(__name__)

T = TypeVar("T")


class ChildRunsTrigger(BaseTrigger):
    """Wait until none of the child runs of an instance is queued or running.

    Every so often it asks for them, 250 at a time, as long as some of those were unfinished, and logs how many
    are in which state when that has changed.

    :param trigger_dag_id: the DAG of the runs.
    :param dag_id: the DAG of the instance that started them.
    :param run_id: its run.
    :param task_id: its task.
    :param map_index: its map index, -1 if it is not mapped.
    :param poll_interval: seconds from one look to the next.
    """

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int,
        poll_interval: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no types
        self.trigger_dag_id = trigger_dag_id
        self.parent = Parent(dag_id, run_id, task_id, map_index)
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class, and what makes another one like this."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "trigger_dag_id": self.trigger_dag_id,
                **self.parent._asdict(),
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, `{"ended": <number of runs>}`, when all have ended."""
        found: dict[tuple[str, ...], Counter[str]] = {}
        try:
            run_ids = await _in_a_thread(kept, self.parent)
            waiting, said = list(chunked(run_ids)), ""
            while waiting:
                for chunk in waiting:
                    found[chunk] = await _in_a_thread(tally, self.trigger_dag_id, chunk)
                    # A run that somebody has deleted is one that nobody need wait for.
                    found[chunk]["deleted"] = len(chunk) - found[chunk].total()
                waiting = [chunk for chunk in waiting if any(found[chunk][state] for state in UNFINISHED)]
                paused = await _in_a_thread(is_paused, self.trigger_dag_id)
                said = self._say(sum(found.values(), Counter()), paused=paused, said=said)
                if waiting:
                    await asyncio.sleep(self.poll_interval)
        except asyncio.CancelledError:
            log.warning(
                "No longer waiting here for the runs of %s: this triggerer ends, or the task was ended or cleared. "
                "The runs themselves go on. When the task runs again it adopts them.",
                self.trigger_dag_id,
            )
            raise
        yield TriggerEvent({"ended": len(run_ids)})

    def _say(self, now: Counter[str], *, paused: bool, said: str) -> str:
        """Log how far it is, unless that was said already; return it."""
        unfinished = now[QUEUED] + now[RUNNING]
        text = ", ".join(f"{number:,} {state}" for state, number in sorted(now.items()))
        if paused and unfinished:
            text += f"; {self.trigger_dag_id} is paused: they wait until somebody unpauses it"
        if text != said:
            level = log.warning if paused or now[FAILED] else log.info
            ended = now.total() - unfinished
            level("%d of %d runs of %s have ended: %s", ended, now.total(), self.trigger_dag_id, text)
        return text


async def _in_a_thread(function: Callable[..., T], *arguments: Any) -> T:
    # Of another kind of thread Airflow before 3.3 could not be asked.
    return await sync_to_async(function, thread_sensitive=False)(*arguments)
