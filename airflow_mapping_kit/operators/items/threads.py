"""Items in threads, so many at a time."""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, sleep_using_event

from airflow_mapping_kit.operators.items import log_lines
from airflow_mapping_kit.operators.items.attempts import ItemStopped, Policy, ended
from airflow_mapping_kit.pieces.records import item_result
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_mapping_kit.operators.items.batch import Call, Results
    from airflow_mapping_kit.results import ItemResult


class Threads:
    """Daemon threads that take one call after another; none outlives the task's process.

    :param calls: what there is to do, taken as there is somebody to do it.
    :param workers: how many threads.
    :param policy: how an item is tried.
    :param results: where results go, and what says that no further call is to be begun.
    """

    def __init__(self, calls: Iterator[Call], workers: int, policy: Policy, results: Results) -> None:
        self._calls = calls
        self._policy = policy
        self._results = results
        self._taking = threading.Lock()
        self._over = results.over
        self._stopped = threading.Event()
        self._tries: dict[int, threading.Thread] = {}
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def start(self) -> int:
        """Start, and return how many will say that they have ended."""
        for worker in self._workers:
            worker.start()
        return len(self._workers)

    def interrupt(self) -> None:
        """Take nothing else, and end what runs: at once, or when it is back from C code."""
        self._stopped.set()
        self._over.set()
        for thread in self._running():
            _interrupt(thread)

    def join(self, seconds: float) -> None:
        """Wait so long for what was interrupted. What is still in C code then ends with the process."""
        until = time.monotonic() + seconds
        for thread in self._running():
            thread.join(max(until - time.monotonic(), 0))

    def _running(self) -> list[threading.Thread]:
        return [*list(self._tries.values()), *self._workers]

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                with self._taking:
                    call = next(self._calls, None)
                if call is None:
                    break
                self._results.put(self._result(call))
        except ItemStopped:
            pass
        finally:
            self._results.end()

    def _result(self, call: Call) -> ItemResult:
        token = log_lines.key.set(call.key)
        tries, started = 0, time.monotonic()

        def attempt() -> Any:
            nonlocal tries, started
            if self._stopped.is_set():
                raise ItemStopped
            tries, started = tries + 1, time.monotonic()
            return self._within_time(call.make)

        try:
            retrying = Retrying(sleep=sleep_using_event(self._over), **self._policy.tenacity(self._over))
            value = retrying(attempt)
            return item_result(call.key, SUCCESS, started=started, value=value, tries=tries)
        except ItemStopped:
            raise
        except BaseException as error:  # noqa: BLE001 -- an item that exits or interrupts must not take others down
            return ended(call.key, error, tries, started)
        finally:
            log_lines.key.reset(token)

    def _within_time(self, make: Callable[[], Any]) -> Any:
        """Call a function; where time is limited in a thread of its own, since nobody can end a call from outside."""
        if self._policy.timeout is None:
            return make()
        answer: list[Any] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                answer.append(make())
            except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
                raised.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(call,), daemon=True)
        worker = threading.get_ident()
        self._tries[worker] = thread
        thread.start()
        thread.join(self._policy.timeout)
        self._tries.pop(worker, None)
        if thread.is_alive():
            _interrupt(thread)
            raise self._policy.overdue()
        if raised:
            raise raised[0]
        return answer[0]


def _interrupt(thread: threading.Thread) -> None:
    """Raise `ItemStopped` in another thread, as soon as that runs Python code again."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(ItemStopped)
        )
