"""What is done of a batch while it is worked on: handed over by whoever did it, and saved on the way."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.owners import Superseded
from airflow_mapping_kit.compat import asking, redacted
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.checkpoints.part import Part
    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

# So many seconds of what is done may be lost when a process is killed; beside what was running.
SAVE_SECONDS = 1.0
# Airflow kills a task that does not end within a minute of its signal.
STOP_SECONDS = 2.0


class Results:
    """What those who work on items hand over, and what says that it is over.

    :param stop_after: so many failures in a row say that it is over.
    :param part: takes what they hand over, and keeps it where a later try finds it.
    """

    def __init__(self, stop_after: int | None, part: Part) -> None:
        self.part = part
        self.some_failed = False
        self.over = threading.Event()
        self.stop_after = stop_after
        self.superseded: Superseded | None = None
        self._in_a_row = 0
        self._handing_over = threading.RLock()
        # A signal may come while another is handled: this is the one queue that bears it.
        self._said: SimpleQueue[BaseException | None] = SimpleQueue()

    def put(self, item: int, result: ItemResult) -> None:
        """Hand over a result, and wait while what is done is being saved: nothing gets ahead of it.

        :param item: the number of the item.
        """
        with self._handing_over:
            failed = result["state"] == FAILED
            self.some_failed = self.some_failed or failed
            self._in_a_row = self._in_a_row + 1 if failed else 0
            # Said before whoever hands it over takes another item.
            if self.stop_after is not None and self._in_a_row >= self.stop_after:
                self.over.set()
            if self.part.add(item, result):
                self.save()

    def note(self, item: int, result: ItemResult) -> None:
        """Hand over what is known of an item that nobody works on.

        :param item: the number of the item.
        """
        with self._handing_over:
            if self.part.add(item, result):
                self.save()

    def finish(self) -> list[ItemResult] | dict[str, Any]:
        """Return what the part makes of all results, when what is being saved is."""
        with self._handing_over:
            return self.part.finish()

    def end(self) -> None:
        """Say that those who hand over results have no more of them."""
        self._said.put(None)

    def stop(self, error: BaseException) -> None:
        """End the batch early. May be called of a signal's handler.

        :param error: what `wait` is to raise.
        """
        self._said.put(error)

    def fail(self, error: BaseException) -> None:
        """End the batch by an error that is no item's: no further item is begun.

        :param error: what `wait` is to raise.
        """
        self.over.set()
        self.stop(error)

    def wait(self) -> None:
        """Wait until all have ended.

        :raises BaseException: that of `stop`.
        """
        said = self._said.get()
        if said is not None:
            raise said

    def check(self) -> None:
        """Look whether somebody has ended the batch early.

        :raises BaseException: that of `stop`.
        """
        while not self._said.empty():
            self.wait()

    @contextmanager
    def saved_on_the_way(self) -> Iterator[None]:
        """Save every second what is not: not in the main thread, where a signal would stop it halfway."""
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(SAVE_SECONDS):
                self.save()

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(STOP_SECONDS)

    def save(self) -> None:
        """Save what is not. If that does not work, say so: the work is done all the same, and may be done twice."""
        with self._handing_over:
            if self.superseded is not None:
                return
            try:
                with asking():
                    self.part.save()
            except Superseded as found:
                # Whoever works on the instance now does not see what is saved any more.
                self.superseded = found
                self.fail(found)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the items are done and go on being done
                log.warning(
                    "The checkpoint of the batch could not be saved: if this task is killed now, %d items run "
                    "again. The next attempt is in %g s.\n%s",
                    self.part.unsaved,
                    SAVE_SECONDS,
                    traceback_of(error, redacted, since=error.__traceback__),
                )
