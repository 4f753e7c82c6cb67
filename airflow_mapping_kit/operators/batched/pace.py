"""The pace of an instance's calls: who waits gets the next time that the instance has taken."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.steering.slots import Lease

if TYPE_CHECKING:
    from airflow_mapping_kit.steering.rate import Rate
    from airflow_mapping_kit.steering.slots import Slots

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_SAY_SECONDS = 60.0


class Pace:
    """Gives those who wait their times, in a thread of its own: to ask for times takes time.

    :param slots: where times are taken.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._rate: Rate | None = None
        self._waiting: deque[Future[float]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        # So many times are taken at once: as many as were needed lately.
        self._most = 1
        self._said = -_SAY_SECONDS

    def set(self, rate: Rate | None) -> None:
        """Go by a rate from now on, or hand out nothing."""
        with self._changed:
            self._rate, self._most = rate, 1
            self._changed.notify()

    def ask(self) -> Future[float]:
        """Return what is done when a call may begin, with the moment until which it must have begun."""
        asked: Future[float] = Future()
        with self._changed:
            self._waiting.append(asked)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()
        return asked

    def close(self) -> None:
        """Hand out nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_AGAIN_SECONDS)

    def _run(self) -> None:
        try:
            while (rate := self._wanted()) is not None:
                found = self._lease(rate)
                if isinstance(found, Lease):
                    self._hand_out(found, rate)
                else:
                    self._sleep(found, rate)
        finally:
            self._slots.close()

    def _wanted(self) -> Rate | None:
        """Wait until somebody waits, and return the rate; `None` at the end."""
        with self._changed:
            while not self._closed:
                while self._waiting and self._waiting[0].cancelled():
                    self._waiting.popleft()
                if self._waiting and self._rate is not None:
                    return self._rate
                self._changed.wait()
            return None

    def _lease(self, rate: Rate) -> Lease | float:
        try:
            return self._slots.lease(rate, max(self._most, len(self._waiting)))
        except Exception as error:  # noqa: BLE001 -- whatever keeps them: without a time nothing begins
            if time.monotonic() - self._said > _SAY_SECONDS:
                self._said = time.monotonic()
                log.warning(
                    "No call starts, because the store that counts the rate %s doesn't answer: %s. It is asked "
                    "again every second.",
                    rate,
                    said(error_of(error)),
                )
            return _AGAIN_SECONDS

    def _hand_out(self, lease: Lease, rate: Rate) -> None:
        used = 0
        for begin in lease.times:
            if not self._sleep(begin - time.monotonic(), rate):
                return
            until = begin + lease.late
            used += self._give(until)
        # What nobody needed is lost; what was not enough is made up for by the next.
        self._most = max(1, used if used < len(lease.times) else 2 * used)

    def _give(self, until: float) -> bool:
        """Have somebody begin; tell whether there was anybody, and the time not over."""
        if time.monotonic() > until:
            return False
        while True:
            with self._changed:
                if not self._waiting:
                    return False
                first = self._waiting.popleft()
            if first.set_running_or_notify_cancel():
                first.set_result(until)
                return True

    def _sleep(self, seconds: float, rate: Rate) -> bool:
        """Sleep, unless the rate changes or all ends meanwhile; tell whether it has not."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closed and self._rate == rate:
                left = until - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False
