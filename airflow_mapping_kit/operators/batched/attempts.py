"""One item: tried until it succeeds or may be tried no more, and what became of it."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowFailException, AirflowSkipException, redacted
from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.failures import said, traceback_of
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading.records import error_of, item_result
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    import threading
    from types import TracebackType

    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

_KIT = Path(__file__).parents[2]

MAX_DELAY_SECONDS = 600
# Doubled so often, any delay worth the name is past that.
_MAX_DOUBLED = 64


class ItemTimeout(Exception):  # noqa: N818 -- it is named as Airflow's own is
    """A try of an item took longer than `item_timeout`.

    :param back: whether its call has ended. One that runs yet must not have another beside it.
    """

    def __init__(self, message: str, *, back: bool) -> None:
        super().__init__(message)
        self.back = back


class ItemStopped(BaseException):
    """The instance is ending: raised inside the items that still run, past their `except Exception`."""


@dataclass(frozen=True)
class Policy:
    """How often an item is tried, for how long, and what is waited between.

    :param retries: how many tries follow the first.
    :param delay: the seconds before the second try; doubled before each further one, up to ten minutes.
    :param timeout: the seconds that one try may take, `None` for any.
    """

    retries: int
    delay: float
    timeout: float | None

    def pause(self, tries: int, error: BaseException, over: threading.Event) -> float | None:
        """Return the seconds until an item is tried again, and say so; `None` if it is tried no more.

        :param tries: how often it was.
        :param error: what the last of them raised.
        :param over: set when the batch is to end: no further tries.
        """
        if tries > self.retries or over.is_set() or not may_be_cured(error):
            return None
        seconds: float = min(self.delay * 2 ** min(tries - 1, _MAX_DOUBLED), MAX_DELAY_SECONDS)
        # What failed together should not come again together.
        seconds += random.uniform(0, self.delay / 2)  # noqa: S311 -- no secret
        log.warning("Try %d failed with %s. The next is in %.1f s.", tries, said(error_of(error)), seconds)
        return seconds

    def overdue(self, *, back: bool) -> ItemTimeout:
        """Return what is raised for a try that took too long.

        :param back: whether its call could be ended.
        """
        rest = "" if back else ", and the call could not be ended"
        return ItemTimeout(f"no result after {self.timeout:g} s (item_timeout){rest}", back=back)


def may_be_cured(error: BaseException) -> bool:
    """Tell whether another try may end otherwise."""
    if isinstance(error, ItemTimeout):
        return error.back
    final = (AirflowSkipException, AirflowFailException, MappingKitError)
    return isinstance(error, Exception) and not isinstance(error, final)


def ended(key: str, error: BaseException, tries: int, started: float) -> ItemResult:
    """Return the result of an item whose function raised, and log why it failed."""
    if isinstance(error, AirflowSkipException):
        log.info("Skipped: %s", one_line(error_of(error)["message"]))
        return item_result(key, SKIPPED, started=started, tries=tries)
    # As of a task: to leave with success is to succeed.
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return item_result(key, SUCCESS, started=started, tries=tries)
    # Not the exception itself: what prints it next may fail on it, or knows of no secrets.
    trace = traceback_of(error, redacted, since=_of_the_function(error))
    log.error("Failed, the last of %d tries.\n%s", tries, trace)
    return item_result(key, FAILED, started=started, tries=tries, error=error)


def _of_the_function(error: BaseException) -> TracebackType | None:
    """Return the traceback from the DAG author's function on: who reads it knows how it was called."""
    found = traceback = error.__traceback__
    while traceback is not None:
        if Path(traceback.tb_frame.f_code.co_filename).is_relative_to(_KIT):
            found = traceback.tb_next
        traceback = traceback.tb_next
    return found
