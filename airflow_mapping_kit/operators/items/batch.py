"""A batch: its items given to threads or to an event loop, and what is done of them saved on the way."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.operators.items.children import Children
from airflow_mapping_kit.operators.items.event_loop import EventLoop
from airflow_mapping_kit.operators.items.log_lines import with_keys
from airflow_mapping_kit.operators.items.threads import Threads
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_mapping_kit.operators.items.attempts import Policy
    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

# So many items that are done, and so many seconds, may be lost when a process is killed; beside what was running.
SAVE_ITEMS = 50
SAVE_SECONDS = 1.0
# Airflow kills a task that does not end within a minute of its signal.
STOP_SECONDS = 2.0


class Call(NamedTuple):
    """The call of the function for one item; a coroutine function's gives what is to be awaited."""

    key: str
    make: Callable[[], Any]


def worked_on(
    calls: Sequence[Call],
    *,
    concurrency: int,
    policy: Policy,
    in_event_loop: bool,
    stop_after: int | None,
    save: Callable[[list[ItemResult]], None] | None,
) -> dict[str, ItemResult]:
    """Return the result of every call by its key; none of those that `stop_after` left out.

    Whatever ends this early (a signal, a time limit, an error) stops what runs, and saves what is done.

    :param concurrency: how many at a time.
    :param in_event_loop: whether calls are coroutines.
    :param stop_after: so many failures in a row begin no further call.
    :param save: keeps some results where a later try finds them; without it nothing is saved.
    """
    results = Results(stop_after)
    kind = EventLoop if in_event_loop else Threads
    workers = kind(iter(calls), min(concurrency, len(calls)), policy, results)
    saved = _Saved(save)
    children = Children()
    by_key: dict[str, ItemResult] = {}
    with with_keys():
        try:
            running = workers.start()
            while running:
                try:
                    result = results.get(timeout=saved.due_in())
                except Empty:
                    saved.save()
                    continue
                if result is None:
                    running -= 1
                    continue
                by_key[result["key"]] = result
                saved.add(result)
        except BaseException:
            workers.interrupt()
            # After that: an item whose process was ended must not go on as if that had done its work.
            children.end(STOP_SECONDS)
            workers.join(STOP_SECONDS)
            saved.add_all(results.left())
            saved.save()
            raise
    # What succeeded as a whole needs no checkpoint any more.
    if results.over.is_set():
        log.error("%s items in a row failed (stop_after): no further one was begun.", stop_after)
    if any(result["state"] == FAILED for result in by_key.values()):
        saved.save()
    return by_key


class Results:
    """What those who work on items hand to the one who waits for it.

    :param stop_after: so many failures in a row say that it is over.
    """

    def __init__(self, stop_after: int | None) -> None:
        self.over = threading.Event()
        self._stop_after = stop_after
        self._in_a_row = 0
        self._counting = threading.Lock()
        self._queue: SimpleQueue[ItemResult | None] = SimpleQueue()

    def put(self, result: ItemResult | None) -> None:
        """Hand over a result; `None` from who has no more of them."""
        # Counted before whoever hands it over takes another item.
        with self._counting:
            if result is not None:
                self._in_a_row = self._in_a_row + 1 if result["state"] == FAILED else 0
            if self._stop_after is not None and self._in_a_row >= self._stop_after:
                self.over.set()
        self._queue.put(result)

    def get(self, timeout: float | None) -> ItemResult | None:
        """Wait for the next.

        :raises Empty: if none came in so many seconds.
        """
        return self._queue.get(timeout=timeout)

    def left(self) -> Iterator[ItemResult]:
        """Yield the results that nobody waited for."""
        with suppress(Empty):
            while True:
                result = self._queue.get_nowait()
                if result is not None:
                    yield result


class _Saved:
    """Saves results that need not be worked for again: when there are many, or the first of them is old."""

    def __init__(self, save: Callable[[list[ItemResult]], None] | None) -> None:
        self._save = save
        self._waiting: list[ItemResult] = []
        self._due: float | None = None

    def due_in(self) -> float | None:
        """Return the seconds until the next save, `None` if nothing waits for it."""
        return None if self._due is None else max(self._due - time.monotonic(), 0)

    def add(self, result: ItemResult) -> None:
        """Take a result, and save if there are enough."""
        self.add_all([result])
        if self._waiting and len(self._waiting) % SAVE_ITEMS == 0:
            self.save()

    def add_all(self, results: Iterable[ItemResult]) -> None:
        """Take results to be saved."""
        if self._save is not None:
            self._waiting += [result for result in results if result["state"] in {SUCCESS, SKIPPED}]
            if self._waiting and self._due is None:
                self._due = time.monotonic() + SAVE_SECONDS

    def save(self) -> None:
        """Save what waits. If that does not work, say so: the work is done all the same, and may be done twice."""
        if self._save is None or not self._waiting:
            return
        try:
            self._save(self._waiting)
            self._waiting = []
            self._due = None
        except Exception:  # noqa: BLE001 -- whatever it is, the items are done and go on being done
            log.warning(
                "What is done of the batch could not be saved: should this task be killed now, "
                "%d items are worked on again. The next attempt is in %.0f s.",
                len(self._waiting),
                SAVE_SECONDS,
                exc_info=True,
            )
            self._due = time.monotonic() + SAVE_SECONDS
