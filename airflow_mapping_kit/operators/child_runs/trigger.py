"""Waiting for child runs in the triggerer, where it takes no slot."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import BaseTrigger, TriggerEvent
from airflow_mapping_kit.operators.child_runs.plan import Parent
from airflow_mapping_kit.operators.child_runs.record import kept
from airflow_mapping_kit.operators.child_runs.runs import QUEUED, RUNNING, is_paused, states
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ChildRunsTrigger(BaseTrigger):
    """Wait until none of the child runs of an instance is queued or running.

    Every so often it asks for those that were unfinished, 250 run ids a query, and logs how many are in which
    state when that has changed.

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
        ended: dict[str, str] = {}
        try:
            unfinished = list(await asyncio.to_thread(kept, self.parent))
            said = ""
            while unfinished:
                found, paused = await asyncio.to_thread(self._look, unfinished)
                # A run that somebody has deleted is one that nobody need wait for.
                ended.update(
                    (run_id, found.get(run_id, "deleted"))
                    for run_id in unfinished
                    if found.get(run_id) not in {QUEUED, RUNNING}
                )
                unfinished = [run_id for run_id in unfinished if run_id not in ended]
                said = self._say(ended, found, paused=paused, said=said)
                if unfinished:
                    await asyncio.sleep(self.poll_interval)
        except asyncio.CancelledError:
            self.log.warning(
                "No longer waiting here for the runs of %s: this triggerer ends, or the task was ended or cleared. "
                "The runs themselves go on. When the task runs again it adopts them.",
                self.trigger_dag_id,
            )
            raise
        yield TriggerEvent({"ended": len(ended)})

    def _look(self, run_ids: list[str]) -> tuple[dict[str, str], bool]:
        from airflow.utils.retries import run_with_db_retries

        found, paused = {}, False
        for attempt in run_with_db_retries(logger=self.log):
            with attempt:
                found, paused = states(self.trigger_dag_id, run_ids), is_paused(self.trigger_dag_id)
        return found, paused

    def _say(self, ended: dict[str, str], found: dict[str, str], *, paused: bool, said: str) -> str:
        """Log how far it is, unless that was said already; return it."""
        now = Counter(ended.values()) + Counter(
            state for state in found.values() if state in {QUEUED, RUNNING}
        )
        text = ", ".join(f"{number:,} {state}" for state, number in sorted(now.items()))
        if paused and now[QUEUED] + now[RUNNING]:
            text += f"; {self.trigger_dag_id} is paused: they wait until somebody unpauses it"
        if text != said:
            level = self.log.warning if paused or now[FAILED] else self.log.info
            level("%d of %d runs of %s have ended: %s", len(ended), now.total(), self.trigger_dag_id, text)
        return text
