"""A batch: its items given to threads or to an event loop, and what is done of them saved on the way."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.operators.items.children import Children
from airflow_mapping_kit.operators.items.event_loop import EventLoop
from airflow_mapping_kit.operators.items.log_lines import with_keys
from airflow_mapping_kit.operators.items.threads import Threads
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    results = Results(stop_after, save)
    kind = EventLoop if in_event_loop else Threads
    workers = kind(iter(calls), min(concurrency, len(calls)), policy, results)
    children = Children()
    with with_keys():
        try:
            running = workers.start()
            while running:
                if results.wait():
                    running -= 1
                else:
                    results.save()
        except BaseException:
            workers.interrupt()
            # After that: an item whose process was ended must not go on as if that had done its work.
            children.end(STOP_SECONDS)
            workers.join(STOP_SECONDS)
            results.save()
            raise
    if results.over.is_set():
        log.error("%s items in a row failed (stop_after): no further one was begun.", stop_after)
    # What succeeded as a whole needs no checkpoint any more.
    if any(result["state"] == FAILED for result in results.by_key.values()):
        results.save()
    return results.by_key


class Results:
    """What those who work on items hand over, and what of it is saved already.

    :param stop_after: so many failures in a row say that it is over.
    :param save: keeps results; `None` where nothing is saved.
    """

    def __init__(self, stop_after: int | None, save: Callable[[list[ItemResult]], None] | None) -> None:
        self.by_key: dict[str, ItemResult] = {}
        self.over = threading.Event()
        self._stop_after = stop_after
        self._in_a_row = 0
        self._save = save
        self._unsaved: list[ItemResult] = []
        self._handing_over = threading.RLock()
        self._ended = threading.Semaphore(0)

    def put(self, result: ItemResult) -> None:
        """Hand over a result, and wait while what is done is being saved: no more than so many get ahead of it."""
        with self._handing_over:
            self.by_key[result["key"]] = result
            self._in_a_row = self._in_a_row + 1 if result["state"] == FAILED else 0
            # Said before whoever hands it over takes another item.
            if self._stop_after is not None and self._in_a_row >= self._stop_after:
                self.over.set()
            if self._save is not None and result["state"] in {SUCCESS, SKIPPED}:
                self._unsaved.append(result)
                if len(self._unsaved) % SAVE_ITEMS == 0:
                    self.save()

    def end(self) -> None:
        """Say that one who handed over results has no more of them."""
        self._ended.release()

    def wait(self) -> bool:
        """Wait until somebody has ended, at most until it is time to save; tell whether somebody has."""
        return self._ended.acquire(timeout=SAVE_SECONDS)

    def save(self) -> None:
        """Save what is not. If that does not work, say so: the work is done all the same, and may be done twice."""
        with self._handing_over:
            if self._save is None or not self._unsaved:
                return
            try:
                self._save(self._unsaved)
                self._unsaved = []
            except Exception:  # noqa: BLE001 -- whatever it is, the items are done and go on being done
                log.warning(
                    "What is done of the batch could not be saved: should this task be killed now, "
                    "%d items are worked on again. The next attempt is in %g s.",
                    len(self._unsaved),
                    SAVE_SECONDS,
                    exc_info=True,
                )
