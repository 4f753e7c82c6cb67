"""Items in one event loop, so many at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.operators.batched import log_lines
from airflow_mapping_kit.operators.batched.attempts import Policy, ended
from airflow_mapping_kit.operators.batched.calls import NoneLeft
from airflow_mapping_kit.operators.batched.places import LOOK_SECONDS, Place, Places
from airflow_mapping_kit.reading.records import item_result
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.operators.batched.calls import Call, Calls
    from airflow_mapping_kit.operators.batched.gate import Gate
    from airflow_mapping_kit.results import ItemResult

Left = list["asyncio.Task[Any] | Future[Any]"]
Settled = tuple[Any, BaseException | None]


class EventLoop:
    """A loop in a thread of its own: Airflow's signals arrive in the main one.

    :param calls: what there is to do, taken as there is somebody to do it.
    :param count: how many coroutines take from them.
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
        self._executor = _Executor()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._at_work = 0  # those that are not about to end for want of places
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start; the results are told when all have ended."""
        self._thread.start()

    def resize(self, count: int) -> None:
        """Work on so many items at a time from now on: further coroutines start, or some end after their item."""
        self.count = count
        if self._loop is not None:
            with suppress(RuntimeError):  # it has just closed
                self._loop.call_soon_threadsafe(self._fill)

    def stuck(self) -> bool:
        """Tell whether nothing was begun any more because every place was held."""
        return self._places.stuck()

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
        self._loop.set_default_executor(self._executor)
        self._ended = self._loop.create_future()
        self._fill()
        try:
            await self._ended
        finally:
            # Now, not when the loop has closed: that waits for threads that an item may have left behind.
            self._results.end()

    def _fill(self) -> None:
        while self._at_work < self.count and not self._ended.done():
            worker = asyncio.create_task(self._work())
            self._at_work += 1
            self._workers.add(worker)
            self._places.change(1)
            worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not self._workers and not self._ended.done():
            self._ended.set_result(None)

    def _is_one_too_many(self) -> bool:
        """Tell whether more are at work than there are places: whoever asks is to end."""
        if self._at_work <= self.count:
            return False
        self._at_work -= 1
        return True

    async def _work(self) -> None:
        place = Place(self._places)
        try:
            while (call := await self._next()) is not None:
                left = Left()
                self._results.put(call.item, await self._result(call, place, left))
                if left and self._calls.more() and not await self._is_back(left, place):
                    return
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 -- no item's: raised where the batch is waited for
            self._results.fail(error)
        finally:
            place.hold()

    async def _next(self) -> Call | None:
        """Return the next call, `None` if there is none for who asks."""
        if self._gate is None:
            allowed = not self._over.is_set()
        else:
            allowed = not self._none_left.is_set() and await self._gate.entered(self._none_left)
        # Only now: there may be fewer places since it was waited.
        return self._calls.take() if allowed and not self._is_one_too_many() else None

    async def _result(self, call: Call, place: Place, left: Left) -> ItemResult:
        """Return what became of an item.

        :param left: gets what runs on of a call that nobody could end.
        """
        token = log_lines.key.set(call.key)
        tries = 0
        try:
            while True:
                tries += 1
                started = time.monotonic()
                try:
                    value = await self._tried(call, place, left, again=tries <= self._policy.retries)
                    return item_result(call.key, SUCCESS, started=started, value=value, tries=tries)
                except BaseException as error:
                    # Not the loop's end: an item that exits or interrupts must not take others down.
                    if isinstance(error, asyncio.CancelledError) and self._stopped.is_set():
                        raise
                    if not await self._is_tried_again(tries, error):
                        return ended(call.key, error, tries, started)
        finally:
            log_lines.key.reset(token)

    async def _is_tried_again(self, tries: int, error: BaseException) -> bool:
        """Wait for the next try of an item, and tell whether there is one."""
        pause = self._policy.pause(tries, error, self._over)
        if pause is None:
            return False
        await asyncio.sleep(pause)
        return not self._over.is_set() and (self._gate is None or await self._gate.entered(self._over))

    async def _tried(self, call: Call, place: Place, left: Left, *, again: bool) -> Any:
        """Return what a call gives, as long as it may take."""
        # In a task of its own: what it sets in its context is not there for the next.
        task = asyncio.create_task(_settled(call))
        if self._policy.timeout is None:
            value, error = await task
        else:
            value, error = await self._within(task, call, place, left, again=again)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame: neither is to wait for the garbage collector
        return value

    async def _within(
        self, task: asyncio.Task[Settled], call: Call, place: Place, left: Left, *, again: bool
    ) -> Settled:
        """Await a call for as long as it may take.

        :param again: whether the item may be tried again: not before the call is back.
        """
        try:
            await asyncio.wait({task}, timeout=self._policy.timeout)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=LOOK_SECONDS)
        # A coroutine that waits for a function in a thread is back at once; the function is not.
        running = _running([task, *self._executor.of(call.key)])
        if running:
            place.say_that_it_is_held(self._policy.timeout)
            if not again or not await self._is_back(running, place):
                left += running
                raise self._policy.overdue(back=False)
        # What it has done all the same need not be done again.
        if task.cancelled() or task.result()[1] is not None:
            raise self._policy.overdue(back=True)
        return task.result()

    async def _is_back(self, left: Left, place: Place) -> bool:
        """Wait for a call that nobody could end; tell whether it has, before all is given up."""
        place.hold()
        while _running(left):
            if self._over.is_set() or self._places.stuck():
                return False
            await asyncio.sleep(LOOK_SECONDS)
        place.free()
        return True


def _running(calls: Left) -> Left:
    return [call for call in calls if not call.done()]


async def _settled(call: Call) -> Settled:
    """Return what a call gives and what it raises: what leaves a task as an exit would stop the loop."""
    try:
        return await call.make(), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 -- handed on to the caller
        return None, error


class _Executor(ThreadPoolExecutor):
    """The loop's threads, for `asyncio.to_thread`: what runs there does not end when its coroutine is cancelled."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="item")
        self._futures: dict[str, set[Future[Any]]] = {}

    def of(self, item: str) -> Collection[Future[Any]]:
        """Return what was begun by an item, and runs or waits yet."""
        return list(self._futures.get(item, ()))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        item = log_lines.key.get()
        if item is not None:
            futures = self._futures.setdefault(item, set())
            futures.add(future)
            future.add_done_callback(futures.discard)
        return future
