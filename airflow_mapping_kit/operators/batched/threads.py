"""Items in threads, so many at a time."""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, sleep_using_event

from airflow_mapping_kit.operators.batched import log_lines
from airflow_mapping_kit.operators.batched.attempts import ItemStopped, Policy, ended
from airflow_mapping_kit.operators.batched.calls import NoneLeft
from airflow_mapping_kit.operators.batched.places import LOOK_SECONDS, Place, Places
from airflow_mapping_kit.reading.records import item_result
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.operators.batched.calls import Call, Calls
    from airflow_mapping_kit.operators.batched.gate import Gate
    from airflow_mapping_kit.results import ItemResult


class Threads:
    """Daemon threads that take one call after another; none outlives the task's process.

    :param calls: what there is to do, taken as there is somebody to do it.
    :param count: how many threads.
    :param policy: how an item is tried.
    :param results: where results go, and what says that no further call is to be begun.
    :param gate: asked before every try.
    """

    def __init__(self, calls: Calls, count: int, policy: Policy, results: Results, gate: Gate | None) -> None:
        self.count = count
        self._calls = calls
        self._policy = policy
        self._results = results
        self._gate = gate
        self._over = results.over
        self._none_left = NoneLeft(results.over, calls)
        self._stopped = threading.Event()
        self._places = Places(policy.timeout)
        # Those that are in the author's function: what the kit does around it must not be interrupted halfway.
        self._in_function: set[threading.Thread] = set()
        self._marking = threading.Lock()
        self._sizing = threading.Lock()
        self._at_work = self._running = 0  # the former without those about to end for want of places
        self._begun = self._ended = False
        # Those too that have left.
        self._workers: list[threading.Thread] = []

    def start(self) -> None:
        """Start; the results are told when all have ended."""
        with self._sizing:
            self._begun = True
            self._fill()

    def resize(self, count: int) -> None:
        """Work on so many items at a time from now on: further threads start, or some end after their item."""
        with self._sizing:
            self.count = count
            if self._begun and not self._ended:
                self._fill()

    def stuck(self) -> bool:
        """Tell whether nothing was begun any more because every place was held."""
        return self._places.stuck()

    def _fill(self) -> None:
        while self._at_work < self.count:
            self._at_work += 1
            self._running += 1
            self._places.change(1)
            worker = threading.Thread(target=self._work, daemon=True)
            self._workers.append(worker)
            worker.start()

    def _is_one_too_many(self) -> bool:
        """Tell whether more are at work than there are places: whoever asks is to end."""
        with self._sizing:
            if self._at_work <= self.count:
                return False
            self._at_work -= 1
            return True

    def _leave(self) -> None:
        with self._sizing:
            self._running -= 1
            if self._running == 0:
                self._ended = True
                self._results.end()

    def interrupt(self) -> None:
        """Take nothing else, and end what runs: at once, or when it is back from C code."""
        self._stopped.set()
        self._over.set()
        with self._marking:
            for thread in self._in_function:
                _interrupt(thread)

    def join(self, seconds: float) -> None:
        """Wait so long for what was interrupted. What is still in C code then ends with the process."""
        until = time.monotonic() + seconds
        with self._marking:
            running = {*self._in_function, *self._workers}
        for thread in running:
            thread.join(max(until - time.monotonic(), 0))

    def _work(self) -> None:
        place = Place(self._places)
        try:
            while not self._none_left.is_set():
                if self._gate is not None and not self._gate.enter(self._none_left):
                    break
                # Only now: there may be fewer places since it was waited.
                if self._is_one_too_many():
                    break
                call = self._calls.take()
                if call is None:  # another was faster
                    break
                left: list[threading.Thread] = []
                self._results.put(call.item, self._result(call, place, left))
                if left and self._calls.more() and not self._is_back(left[0], place):
                    break
        except ItemStopped:
            pass
        finally:
            place.hold()
            self._leave()

    def _result(self, call: Call, place: Place, left: list[threading.Thread]) -> ItemResult:
        """Return what became of an item.

        :param left: gets the thread of a call that nobody could end, and that still runs.
        """
        token = log_lines.key.set(call.key)
        tries, started = 0, time.monotonic()
        before: BaseException | None = None

        def attempt() -> Any:
            nonlocal tries, started, before
            if before is not None and self._gate is not None and not self._gate.enter(self._over):
                raise before
            try:
                return tried()
            except BaseException as error:
                before = error
                raise

        def tried() -> Any:
            nonlocal tries, started
            tries, started = tries + 1, time.monotonic()
            if self._policy.timeout is None:
                return self._called(call.make)
            return self._within(
                self._policy.timeout, call.make, place, left, again=tries <= self._policy.retries
            )

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

    def _called(self, make: Callable[[], Any]) -> Any:
        """Call a function that may be interrupted."""
        me = threading.current_thread()
        with self._marking:
            if self._stopped.is_set():
                raise ItemStopped
            self._in_function.add(me)
        try:
            return make()
        finally:
            with self._marking:
                self._in_function.discard(me)

    def _within(
        self,
        seconds: float,
        make: Callable[[], Any],
        place: Place,
        left: list[threading.Thread],
        *,
        again: bool,
    ) -> Any:
        """Call a function in a thread of its own, since nobody can end a call from outside.

        :param again: whether the item may be tried again: not before the call is back.
        """
        answer: list[Any] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                answer.append(self._called(make))
            except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
                raised.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(call,), daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            with self._marking:
                if thread in self._in_function:
                    _interrupt(thread)
            thread.join(LOOK_SECONDS)
            if thread.is_alive():
                place.say_that_it_is_held(seconds)
                if not again or not self._is_back(thread, place):
                    left.append(thread)
                    raise self._policy.overdue(back=False)
            # What it has done all the same need not be done again.
            if not answer:
                raise self._policy.overdue(back=True)
        if raised:
            raise raised[0]
        return answer[0]

    def _is_back(self, thread: threading.Thread, place: Place) -> bool:
        """Wait for a call that nobody could end; tell whether it has, before all is given up."""
        place.hold()
        while thread.is_alive():
            if self._over.is_set() or self._places.stuck():
                return False
            thread.join(LOOK_SECONDS)
        place.free()
        return True


def _interrupt(thread: threading.Thread) -> None:
    """Raise `ItemStopped` in another thread, as soon as that runs Python code again."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(ItemStopped)
        )
