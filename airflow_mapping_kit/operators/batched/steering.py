"""Batches at work do what somebody says meanwhile: fewer at once, slower, not now."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import TimeoutError as NotYetError
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, asking
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.operators.batched.pace import Pace
from airflow_mapping_kit.operators.batched.settings import STEERED
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.steering.in_tables import Look
from airflow_mapping_kit.steering.look import kept
from airflow_mapping_kit.steering.place import place_of
from airflow_mapping_kit.steering.rate import Rate
from airflow_mapping_kit.steering.settings import CONCURRENCY, PAUSED, RATE, STOP_AFTER, of_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.operators.batched.gate import Over, Workers
    from airflow_mapping_kit.steering.settings import Change
    from airflow_mapping_kit.steering.slots import Slots

log = logging.getLogger(__name__)

# So often an instance looks what somebody has said.
LOOK_SECONDS = 1.0
# So often who waits looks whether all is over.
_WAIT_SECONDS = 0.5


class Steering:
    """The gate of an instance: looks every second what is to hold, beside those who work.

    :param declared: what the DAG says, by the name of the setting.
    :param look: returns what somebody has changed, as it is kept; `None` where nothing can keep it.
    :param slots: makes what times are taken of, once there is a rate.
    :param results: gets another `stop_after`.
    """

    def __init__(
        self,
        declared: Mapping[str, Any],
        look: Callable[[], Any] | None,
        slots: Callable[[], Slots],
        results: Results,
    ) -> None:
        self._declared = declared
        self._look = look
        self._slots = slots
        self._results = results
        self._workers: Workers | None = None
        self._changed: dict[str, Change] = {}
        self._holds = dict(declared)
        self._pace: Pace | None = None
        self._open = True
        self._going_on = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._blind = False

    def __enter__(self) -> Steering:
        """Look once, before anything begins, and then every second."""
        self._apply()
        if self._look is not None:
            self._once(self._look)
            self._thread = threading.Thread(target=self._go_on, args=(self._look,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look no more."""
        self._ended.set()
        if self._pace is not None:
            self._pace.close()
        if self._thread is not None:
            self._thread.join(LOOK_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether tries begin as they come."""
        return self._open

    @property
    def concurrency(self) -> int:
        """How many items are worked on at once as things are."""
        return int(self._holds[CONCURRENCY])

    def stands_before(self, workers: Workers) -> None:
        """Learn who goes through it."""
        self._workers = workers
        # Somebody may have said so since they were counted.
        if CONCURRENCY in self._changed:
            workers.resize(self.concurrency)

    def enter(self, over: Over) -> bool:
        """Wait until a try may begin, and tell whether it may."""
        while not over.is_set():
            if self._open:
                return True
            pace = self._pace
            if not self._going_on.is_set() or pace is None:
                self._going_on.wait(_WAIT_SECONDS)
                continue
            asked = pace.ask()
            while True:
                try:
                    until = asked.result(_WAIT_SECONDS)
                except NotYetError:
                    if self._asks_on(over) or not asked.cancel():
                        continue
                    break
                if self._in_time(until):
                    return True
                break
        return False

    async def entered(self, over: Over) -> bool:
        """Do the same in an event loop."""
        while not over.is_set():
            if self._open:
                return True
            pace = self._pace
            if not self._going_on.is_set() or pace is None:
                await asyncio.sleep(_WAIT_SECONDS)
                continue
            asked = pace.ask()
            given = asyncio.wrap_future(asked)
            try:
                while not given.done():
                    await asyncio.wait({given}, timeout=_WAIT_SECONDS)
                    if not given.done() and not self._asks_on(over) and asked.cancel():
                        break
            finally:
                asked.cancel()
            if given.done() and not given.cancelled() and self._in_time(given.result()):
                return True
        return False

    def _asks_on(self, over: Over) -> bool:
        return not (over.is_set() or self._open) and self._going_on.is_set()

    def _in_time(self, until: float) -> bool:
        # One that was waked too late must not begin beside the next.
        return self._going_on.is_set() and time.monotonic() <= until

    def _go_on(self, look: Callable[[], Any]) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._once(look)
        close = getattr(look, "close", None)
        if close is not None:
            close()

    def _once(self, look: Callable[[], Any]) -> None:
        try:
            with asking():
                changed = of_json(look())
        except Exception as error:  # noqa: BLE001 -- the work goes on as it was; the next look is in a second
            if not self._blind:
                log.warning(
                    "The changed settings of this task can't be read, so the settings up to now stay: %s",
                    said(error_of(error)),
                )
            self._blind = True
            return
        self._blind = False
        if changed != self._changed:
            self._changed = changed
            self._apply()

    def _apply(self) -> None:
        before = self._holds
        self._holds = now = {
            **self._declared,
            **{name: one.value for name, one in self._changed.items() if name in self._declared},
        }
        self._results.stop_after = now[STOP_AFTER]
        if self._workers is not None and now[CONCURRENCY] != before[CONCURRENCY]:
            self._workers.resize(now[CONCURRENCY])
        rate = None if now[RATE] is None else Rate.of(now[RATE])
        if rate is not None and self._pace is None:
            self._pace = Pace(self._slots())
        if self._pace is not None:
            self._pace.set(rate)
        # Those who are let through look at this alone.
        self._open = rate is None and not now[PAUSED]
        (self._going_on.clear if now[PAUSED] else self._going_on.set)()
        for name, value in now.items():
            if value != before[name]:
                one = self._changed.get(name)
                log.info(
                    "%s is %s now, %s.",
                    name,
                    value,
                    f"as {one_line(one.by)} said" if one is not None else "as the DAG says",
                )


def steering_of(operator: Any, context: Context, results: Results) -> Steering:
    """Return the gate of a running instance of a batched task.

    :param operator: as the worker runs it.
    """
    instance: Any = context["ti"]
    declared = operator.dag.get_task(operator.task_id)
    place = place_of(declared, instance.run_id)
    look: Callable[[], Any] | None = None
    if place is not None:
        look = partial(kept, place) if AIRFLOW_3 else Look(place)
    return Steering(
        {name: getattr(operator, name, None) for name in STEERED} | {PAUSED: False},
        look,
        partial(_slots, place, instance, declared),
        results,
    )


def _slots(place: Any, instance: Any, declared: Any) -> Any:
    # Only where a rate holds.
    from airflow_mapping_kit.steering.shared import slots_of

    return slots_of(place, instance, declared)
