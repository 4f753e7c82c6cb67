"""Whether a value lies between two bounds: periods by the calendar, numbers by size, anything else as text."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from airflow_mapping_kit.partitions.periods import LENGTHS, Period, next_period, parse_period

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
# What somebody meant as a date, if it is none: 2013-02-30, 2013-1-1, 2013-01-01T05:00.
_LIKE_A_DATE = re.compile(r"[0-9]{4}-(?:[0-9]{1,2}(?:-.*)?|[WQ].*)", re.DOTALL)


class Bound(NamedTuple):
    """One end of a range.

    :param literal: whether it is text and nothing else; a period or a number that was quoted.
    """

    text: str
    literal: bool = True

    @property
    def period(self) -> Period | None:
        """The period that it names."""
        return None if self.literal else _period(self.text)

    @property
    def number(self) -> Decimal | None:
        """The number that it is."""
        return None if self.literal else number(self.text)


def bound(text: str, *, quoted: bool) -> Bound:
    """Return a bound: literal where it is quoted, or neither a period nor a number."""
    return Bound(text, literal=quoted or (_period(text) is None and number(text) is None))


def like_a_date(text: str) -> bool:
    """Tell whether a text looks like a date and names none: `2013-02-30`, `2013-1-1`."""
    return _LIKE_A_DATE.fullmatch(text) is not None and parse_period(text) is None


def number(text: str) -> Decimal | None:
    """Return the number that a text is, or None: `number("-1.5")` gives `Decimal("-1.5")`."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def is_period(text: str) -> bool:
    """Tell whether a text names a period of the calendar."""
    return _period(text) is not None


def between(value: str, low: Bound | None, high: Bound | None) -> bool:
    """Tell whether a value lies between two bounds, both included.

    Where all bounds are periods, a value that is a period does if it touches the time from the first to the last;
    where all are numbers, a value that is a number; where one is neither, any value, as text.
    """
    bounds = [one for one in (low, high) if one is not None]
    periods, numbers = all(one.period for one in bounds), all(one.number is not None for one in bounds)
    if periods and (period := parse_period(value)) is not None:
        return (low is None or _order(period, low.period) >= 0) and (
            high is None or _order(period, high.period) <= 0
        )
    if numbers and (size := number(value)) is not None:
        return (low is None or low.number <= size) and (high is None or size <= high.number)  # type: ignore[operator]
    if periods or numbers:
        return False
    return (low is None or low.text <= value) and (high is None or value <= high.text)


def around(value: str, period: str) -> bool:
    """Tell whether a value is a period, or touches it: `2013-01-31` and `2013-W05` touch `2013-01`."""
    if value == period:
        return True
    found = parse_period(value)
    return found is not None and _order(found, _period(period)) == 0


def moment_of(period: Period) -> timedelta:
    """Return when a period starts, so that those of one kind and zone can be put in order."""
    return _since(period) - (period.offset or timedelta())


def backwards(low: Bound, high: Bound) -> bool:
    """Tell whether nothing can lie between two bounds, for the second comes before the first."""
    if low.period and high.period:
        return _order(high.period, low.period) < 0
    if low.number is not None and high.number is not None:
        return high.number < low.number
    return high.text < low.text


@lru_cache(maxsize=1024)
def _period(text: str) -> Period | None:
    return parse_period(text)


def _order(period: Period, other: Period | None) -> int:
    """Return -1 where a period ends before another begins, 1 where it begins after its end, 0 where they touch.

    They are of one zone's clock. An hour, or a minute, that the clock shows twice is told by its offset where the other
    has one too; one without is UTC's in a plan, and any of that name in a selection. Of what begins with a minute and
    doesn't say how long it lasts, that minute is meant.
    """
    if other is None:
        return 0
    if period.every in LENGTHS and other.every in LENGTHS and other.offset is not None:
        length, its_length = LENGTHS[period.every], LENGTHS[other.every]
        start, its = moment_of(period), moment_of(other)
        if period.offset is not None and length == its_length:
            return (start > its) - (start < its)
        return (start >= its + its_length) - (start + length <= its)
    start, its = _since(period), _since(other)
    return (start >= _until(other)) - (_until(period) <= its)


def _since(period: Period) -> timedelta:
    # Not a datetime: by an offset it could leave Python's calendar.
    return period.start - datetime.min


def _until(period: Period) -> timedelta:
    if period.every in LENGTHS:
        return _since(period) + LENGTHS[period.every]
    try:
        return next_period(period).start - datetime.min
    except (OverflowError, ValueError):  # the last of the year 9999
        return datetime.max - datetime.min
