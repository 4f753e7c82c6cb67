"""How many calls may start in a time, written as `100/m`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow_mapping_kit.exceptions import SteeringError
from airflow_mapping_kit.partitions.sequences import shown

_WINDOWS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_FORM = re.compile(r"([1-9][0-9]{0,6})/([smh])")
# Above that nothing waits for anything but the clock.
_MOST_A_SECOND = 1_000
# A call begins a little after its time, and arrives a little after that, never twice the same: that much of a window
# is left free, so that none is over its limit where it arrives.
_FREE, _FREE_SECONDS = 0.1, 2.0


class Rate(NamedTuple):
    """A number of calls in any window of some seconds.

    :param calls: how many.
    :param window: of one of its letters: `s`, `m` or `h`.
    """

    calls: int
    window: str

    @classmethod
    def of(cls, text: Any) -> Rate:
        """Read `"100/m"`: a whole number, and a second, a minute or an hour.

        :raises SteeringError: if it is not a rate, or so high that it limits nothing.
        """
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise SteeringError(
                f"rate={shown(text)} is not a rate: write calls per second, minute or hour, as in 5/s, 100/m or "
                "2000/h."
            )
        rate = cls(int(found[1]), found[2])
        if rate.calls > _MOST_A_SECOND * rate.seconds:
            raise SteeringError(
                f"rate={rate} is more than {_MOST_A_SECOND:,} calls per second, which limits nothing: leave it out, "
                "or give a lower one."
            )
        return rate

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.calls}/{self.window}"

    @property
    def seconds(self) -> float:
        """The length of a window."""
        return _WINDOWS[self.window]

    @property
    def free(self) -> float:
        """The time beyond a window over which its calls are spread, in seconds."""
        return min(self.seconds * _FREE, _FREE_SECONDS)

    @property
    def spacing(self) -> float:
        """The seconds from one call to the next: `Rate.of("100/m").spacing` is 0.62."""
        return (self.seconds + self.free) / self.calls

    @property
    def late(self) -> float:
        """How long after its time a call may start, in seconds. After that the time is lost."""
        return self.free / 2
