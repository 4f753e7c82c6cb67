"""On Airflow 2, in the metadata database: changed settings, and the times of calls. Each is a small query."""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import kept_connection, own_session
from airflow_mapping_kit.steering import rows
from airflow_mapping_kit.steering.slots import Lease, after, leased, tells_in_time

if TYPE_CHECKING:
    from airflow_mapping_kit.steering.place import Place
    from airflow_mapping_kit.steering.rate import Rate

# Others take times too: after so many turns that were theirs somebody else is asked for.
_TURNS = 20
_BETWEEN_SECONDS = 0.01


class Kept:
    """A connection that stays open as long as it answers."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._connection: Any = None

    def connection(self) -> Any:
        """Return the connection, and open it if it is not open."""
        if self._connection is None:
            self._connection = self._open.enter_context(kept_connection())
        return self._connection

    def close(self) -> None:
        """Close it, or forget one that failed."""
        self._connection = None
        stack, self._open = self._open, ExitStack()
        # What is broken can't be closed in order.
        with suppress(Exception):
            stack.close()


class Look:
    """Reads the settings that somebody has changed.

    :param place: of the task.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def __call__(self) -> Any:
        """Return the stored settings, `None` if there are none."""
        # On the connection that the instance has for all that it asks.
        with own_session() as session:
            return rows.read(session.connection(), self._place, self._place.settings)


class InTables:
    """Times of calls, by the clock of the database.

    :param place: of the task.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept = Kept()
        # So long it takes to take times: the first of them lies after that.
        self._takes = 0.0

    def lease(self, rate: Rate, most: int) -> Lease | float:
        """Take up to so many of the next times."""
        try:
            return self._lease(self._kept.connection(), rate, most)
        except BaseException:
            self.close()
            raise

    def _lease(self, connection: Any, rate: Rate, most: int) -> Lease | float:
        from sqlalchemy.exc import IntegrityError

        place, key = self._place, self._place.pace
        for _ in range(_TURNS):
            asked = time.monotonic()
            before, now = rows.read_with_time(connection, place, key)
            answered = time.monotonic()
            slow = not tells_in_time(rate, asked, answered)
            if slow:
                continue
            last = None if before is None else _last(before)
            soonest = now + min(self._takes, rate.late)
            found = after(last, soonest, rate, most)
            if not found.number:
                return max(found.first - now - 1, _BETWEEN_SECONDS)
            if before is None:
                try:
                    rows.insert(connection, place, key, {"last": found.last})
                    taken = True
                except IntegrityError:
                    # Another was faster; or the run has no instance that could keep it, which comes up again.
                    if rows.read_with_time(connection, place, key)[0] is None:
                        raise
                    taken = False
            else:
                taken = rows.exchange(connection, place, key, before, {"last": found.last})
            self._takes = time.monotonic() - answered
            if taken:
                return leased(found, rate, now, asked, answered)
            time.sleep(random.uniform(0, _BETWEEN_SECONDS))  # noqa: S311 -- that not all come back at once
        if slow:
            raise TimeoutError(f"the database takes {answered - asked:.2f} s to tell the time")
        return _BETWEEN_SECONDS

    def close(self) -> None:
        """Give the connection back."""
        self._kept.close()


def _last(kept: bytes) -> float | None:
    try:
        return float(json.loads(kept)["last"])
    except (ValueError, KeyError, TypeError):  # somebody has written it by hand
        return None
