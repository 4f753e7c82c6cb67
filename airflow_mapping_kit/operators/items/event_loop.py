"""Items in one event loop, so many at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying

from airflow_mapping_kit.operators.items import log_lines
from airflow_mapping_kit.operators.items.attempts import Policy, ended
from airflow_mapping_kit.pieces.records import item_result
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.operators.items.batch import Call, Results
    from airflow_mapping_kit.results import ItemResult


class EventLoop:
    """A loop in a thread of its own: Airflow's signals arrive in the main one.

    :param calls: what there is to do, taken as there is somebody to do it.
    :param workers: how many coroutines take from them.
    :param policy: how an item is tried.
    :param results: where results go, and what says that no further call is to be begun.
    """

    def __init__(self, calls: Iterator[Call], workers: int, policy: Policy, results: Results) -> None:
        self._calls = calls
        self._count = workers
        self._policy = policy
        self._results = results
        self._over = results.over
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> int:
        """Start, and return how many will say that they have ended."""
        self._thread.start()
        return 1

    def interrupt(self) -> None:
        """Take nothing else, and cancel what runs."""
        self._stopped.set()
        self._over.set()
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just closed
                self._loop.call_soon_threadsafe(self._cancel)

    def join(self, seconds: float) -> None:
        """Wait so long for what was cancelled. What holds up the loop ends with the process."""
        self._thread.join(seconds)

    def _cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def _run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._count)]
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            # Now, not when the loop has closed: that waits for threads that an item may have left behind.
            self._results.end()

    async def _work(self) -> None:
        while not self._over.is_set():
            call = next(self._calls, None)
            if call is None:
                return
            self._results.put(await self._result(call))

    async def _result(self, call: Call) -> ItemResult:
        token = log_lines.key.set(call.key)
        tries, started = 0, time.monotonic()

        async def attempt() -> Any:
            nonlocal tries, started
            tries, started = tries + 1, time.monotonic()
            try:
                # What leaves a task as an exit stops the loop: it goes through it as a value.
                value, error = await asyncio.wait_for(_settled(call), self._policy.timeout)
            except asyncio.TimeoutError:
                raise self._policy.overdue() from None
            if error is not None:
                raise error
            return value

        try:
            value: Any = await AsyncRetrying(**self._policy.tenacity(self._over))(attempt)
            return item_result(call.key, SUCCESS, started=started, value=value, tries=tries)
        except asyncio.CancelledError as error:
            if self._stopped.is_set():
                raise
            return ended(call.key, error, tries, started)
        except BaseException as error:  # noqa: BLE001 -- an item that exits or interrupts must not take others down
            return ended(call.key, error, tries, started)
        finally:
            log_lines.key.reset(token)


async def _settled(call: Call) -> tuple[Any, BaseException | None]:
    try:
        return await call.make(), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 -- handed on to the caller
        return None, error
