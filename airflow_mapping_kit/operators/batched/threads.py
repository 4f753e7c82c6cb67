"""Items in threads, so many at a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.operators.batched import log_lines
from airflow_mapping_kit.operators.batched.attempts import ItemStopped, Policy, ended
from airflow_mapping_kit.operators.batched.calls import NoneLeft
from airflow_mapping_kit.operators.batched.places import LOOK_SECONDS, Place, Places
from airflow_mapping_kit.operators.batched.tries import Replaced, Tries, Try
from airflow_mapping_kit.reading.records import item_result
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
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
        self._places = Places(policy.timeout)
        self._tries = Tries(policy, self._replace)
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
        self._tries.watch()

    def resize(self, count: int) -> None:
        """Work on so many items at a time from now on: further threads start, or some end after their item."""
        with self._sizing:
            self.count = count
            if self._begun and not self._ended:
                self._fill()

    def stuck(self) -> bool:
        """Tell whether nothing was begun any more because every place was held."""
        return self._places.stuck()

    def interrupt(self) -> None:
        """Take nothing else, and end what runs: at once, or when it is back from C code."""
        self._over.set()
        self._tries.stop()

    def join(self, seconds: float) -> None:
        """Wait so long for what was interrupted. What is still in C code then ends with the process."""
        until = time.monotonic() + seconds
        with self._sizing:
            workers = list(self._workers)
        for thread in workers:
            thread.join(max(until - time.monotonic(), 0))

    def _fill(self) -> None:
        while self._at_work < self.count:
            self._at_work += 1
            self._running += 1
            self._places.change(1)
            self._start()

    def _start(self, late: Try | None = None) -> None:
        worker = threading.Thread(target=self._work, args=(late,), daemon=True)
        worker.start()
        self._workers.append(worker)

    def _replace(self, late: Try) -> None:
        """Have another thread work in the place of one whose call nobody can end."""
        with self._sizing:
            self._start(late)

    def _is_one_too_many(self) -> bool:
        """Tell whether more are at work than there are places: whoever asks is to end."""
        if self._at_work <= self.count:
            return False
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
                self._tries.end()
                self._results.end()

    def _work(self, late: Try | None) -> None:
        """Take one call after another.

        :param late: the try that goes on after its time, and that ended the thread which had this place.
        """
        place, has_place = Place(self._places), True
        try:
            call = self._next() if late is None else late.call
            while call is not None:
                self._results.put(call.item, self._result(call, place, late))
                if late is not None and self._calls.more() and not self._is_back(late, place):
                    break
                late, call = None, self._next()
        except Replaced:
            has_place = False
        except ItemStopped:
            pass
        except BaseException as error:  # noqa: BLE001 -- no item's: raised where the batch is waited for
            self._results.fail(error)
        finally:
            if has_place:
                place.hold()
                self._leave()

    def _next(self) -> Call | None:
        """Return the next call, `None` if there is none for this thread."""
        if self._gate is None or self._gate.is_open:
            allowed = not self._over.is_set()
        else:
            allowed = not self._none_left.is_set() and self._gate.enter(self._none_left)
        # Only now: there may be fewer places since it was waited.
        return self._calls.take() if allowed and not self._is_one_too_many() else None

    def _result(self, call: Call, place: Place, late: Try | None) -> ItemResult:
        """Return what became of an item."""
        token = log_lines.key.set(call.key)
        tries = 0 if late is None else late.tries - 1
        try:
            while True:
                tries += 1
                started = time.monotonic() if late is None else late.started
                try:
                    if late is None:
                        value = self._tries.outcome(Try(call, tries, started))
                    else:
                        value, late = self._late(late, place), None
                    return item_result(call.key, SUCCESS, started=started, value=value, tries=tries)
                except (ItemStopped, Replaced):
                    raise
                except BaseException as error:  # noqa: BLE001 -- an item that exits or interrupts must not take others down
                    if not self._is_tried_again(tries, error):
                        return ended(call.key, error, tries, started)
                late = None
        finally:
            log_lines.key.reset(token)

    def _is_tried_again(self, tries: int, error: BaseException) -> bool:
        """Wait for the next try of an item, and tell whether there is one."""
        pause = self._policy.pause(tries, error, self._over)
        if pause is None or self._over.wait(pause):
            return False
        return self._gate is None or self._gate.enter(self._over)

    def _late(self, late: Try, place: Place) -> Any:
        """Return what a try returned although nobody could end it in time; to be tried again it has to be back."""
        place.say_that_it_is_held(self._policy.timeout)
        if late.tries > self._policy.retries or not self._is_back(late, place):
            raise self._policy.overdue(back=False)
        return late.result(self._policy)

    def _is_back(self, late: Try, place: Place) -> bool:
        """Wait for a call that nobody could end; tell whether it has, before all is given up."""
        place.hold()
        while late.thread.is_alive():
            if self._over.is_set() or self._places.stuck():
                return False
            late.thread.join(LOOK_SECONDS)
        place.free()
        return True
