"""When calls may start: one time after another. An instance with calls to make takes a few times at once.

Instances share only the time at which the last call may start. An instance that takes times moves it, in one atomic
step. So no two calls ever get the same time, whichever instance starts, ends or is killed. Times that a killed instance
had taken are lost.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.steering.rate import Rate

# So far ahead times are taken: soon enough to follow a rate that somebody changes.
AHEAD_SECONDS = 1.0
# So much of it one takes at once, that others get theirs.
_SHARE_SECONDS = 0.25
# So much of the time that a call may be late it has, however long it took to read the clock.
_LEAST_LATE = 0.2


class Lease(NamedTuple):
    """Times that an instance has taken.

    :param times: for each call the time at which it may start, by `time.monotonic()`.
    :param late: after this many seconds more the time is lost.
    """

    times: Sequence[float]
    late: float


class Slots(Protocol):
    """Where times are taken."""

    def lease(self, rate: Rate, most: int) -> Lease | float:
        """Take up to so many of the next times; where none is near, return in how many seconds to ask again."""

    def close(self) -> None:
        """Leave what was held to ask quickly."""


class Next(NamedTuple):
    """The next times of a rate.

    :param first: the first of them.
    :param number: how many are near enough.
    :param last: the last of them.
    """

    first: float
    number: int
    last: float


def after(last: float | None, now: float, rate: Rate, most: int) -> Next:
    """Return the next times after the last one that was taken, on the same clock.

    :param last: `None` where none was taken yet.
    """
    first = now if last is None else max(now, last + rate.spacing)
    near = math.floor((now + AHEAD_SECONDS - first) / rate.spacing) + 1
    share = max(1, math.floor(_SHARE_SECONDS / rate.spacing))
    number = max(0, min(most, near, share))
    return Next(first, number, first + (number - 1) * rate.spacing)


def leased(found: Next, rate: Rate, now: float, asked: float, answered: float) -> Lease:
    """Return a lease on the clock of this process.

    :param now: the time by the clock of the times, told at some moment between two of this process's.
    """
    begin = answered + (found.first - now)
    # It may have been told right after it was asked: then all is that much later than it seems.
    late = max(rate.late - (answered - asked), rate.late * _LEAST_LATE)
    return Lease([begin + number * rate.spacing for number in range(found.number)], late)


def tells_in_time(rate: Rate, asked: float, answered: float) -> bool:
    """Tell whether reading a clock was quick enough to use it for calls."""
    return answered - asked < rate.free - rate.late * _LEAST_LATE


class Alone:
    """The equal part of a rate that each instance gets if instances can't agree.

    :param share: how many instances there may be at a time.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        # The instance before may have made a call just now.
        self._last = time.monotonic()

    def lease(self, rate: Rate, most: int) -> Lease | float:
        """Take up to so many of the next times."""
        spacing = rate.spacing * self._share
        now = time.monotonic()
        first = max(now, self._last + spacing)
        if first > now + AHEAD_SECONDS:
            return first - now - AHEAD_SECONDS
        count = max(1, min(most, math.floor(AHEAD_SECONDS / spacing)))
        self._last = first + (count - 1) * spacing
        return Lease([first + number * spacing for number in range(count)], rate.late)

    def close(self) -> None:
        """Leave nothing."""
