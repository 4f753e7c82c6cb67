"""Waiting for child runs in the triggerer, where it takes no slot."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_mapping_kit.compat import BaseTrigger, TriggerEvent
from airflow_mapping_kit.operators.dagrun import record
from airflow_mapping_kit.operators.dagrun.plan import Parent
from airflow_mapping_kit.operators.dagrun.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

log = logging.getLogger(__name__)

T = TypeVar("T")


class ChildRunsTrigger(BaseTrigger):
    """Wait until so few of the child runs of an instance are in flight that it has something to do.

    :param trigger_dag_id: the DAG of the runs.
    :param dag_id: the DAG of the instance that started them.
    :param run_id: its run.
    :param task_id: its task.
    :param map_index: its map index, -1 if it is not mapped.
    :param started: how many of the runs that it was to start one after the other it has started.
    :param until: how many may still be in flight.
    :param done: the states in which nobody waits for a run any more.
    :param poke_interval: seconds from one look to the next.
    """

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int,
        started: int,
        until: int,
        done: Sequence[str],
        poke_interval: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no types
        self.trigger_dag_id = trigger_dag_id
        self.parent = Parent(dag_id, run_id, task_id, map_index)
        self.started = started
        self.until = until
        self.done = done
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class, and what makes another one like this."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "trigger_dag_id": self.trigger_dag_id,
                **self.parent._asdict(),
                "started": self.started,
                "until": self.until,
                "done": list(self.done),
                "poke_interval": self.poke_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, `{"in_flight": <number of runs>}`, when there are no more than that."""
        try:
            kept = await _in_a_thread(record.kept, self.parent)
            watch = Watch(self.trigger_dag_id, kept.begun(self.started), self.done)
            while (in_flight := await _in_a_thread(watch.look)) > self.until:
                await asyncio.sleep(self.poke_interval)
        except asyncio.CancelledError:
            log.warning(
                "No longer waiting here for the runs of %s: this triggerer ends, or the task was ended or cleared. "
                "The runs themselves go on. When the task runs again it adopts them.",
                self.trigger_dag_id,
            )
            raise
        yield TriggerEvent({"in_flight": in_flight})


async def _in_a_thread(function: Callable[..., T], *arguments: Any) -> T:
    # Of another kind of thread Airflow before 3.3 could not be asked.
    return await sync_to_async(function, thread_sensitive=False)(*arguments)
