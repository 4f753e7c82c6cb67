"""The ticks of a cron expression on a zone's clock: from each to the next is a period."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.periods import CADENCES, Period, period_key
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import UTC, offset_at, stretches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FIELDS = 5
# What croniter would choose by chance, or by a name.
_CHANCE = re.compile(r"\b[HR]\b", re.IGNORECASE)
_HOUR = 60
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
# The length of a date in a key.
_DATE = len("2013-01-01")
# A zone that never changes its clock is one stretch: it is looked at some days, and then a year at a time.
_AT_FIRST, _AT_A_TIME = timedelta(days=4), timedelta(days=366)
# After so long weekdays and leap days come again, but for years such as 1900.
_CYCLE = timedelta(days=28 * 365 + 7)
_RECKONED = 0.99
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_PRESETS = {
    "@hourly": "'hour'",
    "@daily": "'day'",
    "@midnight": "'day'",
    "@weekly": "'week' for weeks from Monday, or the expression '0 0 * * 0'",
    "@monthly": "'month'",
    "@quarterly": "'quarter'",
    "@yearly": "'year'",
    "@annually": "'year'",
}


def is_cron(every: Any) -> bool:
    """Tell whether a cadence is meant as a cron expression: by its spaces, or the `@` of a preset."""
    return isinstance(every, str) and every not in CADENCES and (len(every.split()) > 1 or every[:1] == "@")


@lru_cache(maxsize=64)
def cron_of(expression: str) -> Cron:
    """Return a cron expression, which is looked at once in a process.

    :raises PartitionError: if it is none, or no day is of it
    """
    if expression in _PRESETS:
        raise PartitionError(
            f"the cadence every={shown(expression)} is a schedule's: write {_PRESETS[expression]}"
        )
    return Cron(expression)


class Cron:
    """A cron expression, as croniter reads it, which Airflow brings.

    A time that the clock shows twice ticks the first time, and one that it skips when it does. Where the minutes or
    the hours begin with `*`, each time that the clock shows ticks, one that it shows twice too: so does the daemon.

    :param expression: its five fields
    :raises PartitionError: if it isn't one, or no day is of it
    """

    def __init__(self, expression: str) -> None:
        written = expression.split()
        minutes, hours, *days = _read(expression, written)
        self._again = written[0][0] == "*" or written[1][0] == "*" or ["*"] in (minutes, hours)
        self._every_day = all(field == ["*"] for field in days)
        self._days_of = f"0 0 {' '.join(written[2:])}"
        self._times = [
            _HOUR * hour + minute
            for hour in (range(24) if hours == ["*"] else sorted(hours))
            for minute in (range(60) if minutes == ["*"] else sorted(minutes))
        ]
        if next(self._days(date(2000, 1, 1)), None) is None:
            raise PartitionError(f"the cron expression {shown(expression)} has no day: correct it")

    def last(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the last tick that isn't after a moment.

        :raises PartitionError: if there is none since the year 1
        """
        day = moment.astimezone(zone).date() + _DAY
        while True:
            day = self._day_before(day)
            # By any zone's clock that is before the day, and around one change of it at most.
            since = _midnight(day).replace(tzinfo=UTC) - 2 * _DAY
            found = deque(takewhile(moment.__ge__, self._from(since, zone)), maxlen=1)
            if found:
                return found[0]

    def ticks(self, tick: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Yield the ticks from one of them on."""
        yield tick
        yield from self._from(tick + _INSTANT, zone)

    def keys(self, first: datetime, until: datetime, zone: tzinfo) -> list[str]:
        """Return the keys of the ticks that begin what touches the time from `first` until `until`."""
        tick = self.last(first, zone)
        found = [tick_key(tick, zone)]
        for one in self._spans(tick + _INSTANT, until, zone):
            if one.jump is not None:
                found.append(tick_key(one.jump, zone))
            texts = {time: self._text(time, one.offset, zone) for time in self._times}
            for day, times in self._locals(one.first, one.until):
                written = day.isoformat()
                found += [written + texts[time] for time in times]
        return found

    def count(self, first: datetime, until: datetime, zone: tzinfo) -> int:
        """Return about how many ticks there are, rather fewer where so many years are only reckoned."""
        begin, end = (moment.astimezone(zone).date() for moment in (first, until))
        if self._every_day:
            return (end - begin).days * len(self._times)
        looked = min(end, begin + _CYCLE)
        days = sum(1 for _ in takewhile(looked.__gt__, self._days(begin)))
        return int(days * len(self._times) * ((end - begin) / max(looked - begin, _DAY)) * _RECKONED)

    def _from(self, since: datetime, zone: tzinfo) -> Iterator[datetime]:
        for one in self._spans(since, _LAST, zone):
            if one.jump is not None:
                yield one.jump
            for day, times in self._locals(one.first, one.until):
                midnight = _midnight(day).replace(tzinfo=UTC) - one.offset
                for time in times:
                    yield midnight + time * _MINUTE

    def _spans(self, since: datetime, until: datetime, zone: tzinfo) -> Iterator[_Span]:
        """Yield the stretches of time in which the clock keeps an offset, each as what it shows then and counts."""
        shown_until: datetime | None = None
        at_a_time = _AT_FIRST
        while since < until:
            later = min(since + at_a_time, until)
            for start, end, offset in stretches(since, later, zone):
                first, last = (moment.replace(tzinfo=None) + offset for moment in (start, end))
                jump = None
                if shown_until is not None and not self._again:
                    if self._any(shown_until, first) and not self._any(first, first + _INSTANT):
                        jump = start
                    first = max(first, shown_until)
                yield _Span(first, last, offset, jump)
                shown_until = last if shown_until is None else max(last, shown_until)
            since, at_a_time = later, min(2 * at_a_time, _AT_A_TIME)

    def _locals(self, first: datetime, until: datetime) -> Iterator[tuple[date, Sequence[int]]]:
        """Yield each day with the minutes that tick from one time on a clock until another."""
        if first >= until:
            return
        for day in takewhile(until.date().__ge__, self._days(first.date())):
            low, high = 0, len(self._times)
            if day == first.date():
                low = bisect_left(self._times, -(-(first - _midnight(day)) // _MINUTE))
            if day == until.date():
                high = bisect_left(self._times, -(-(until - _midnight(day)) // _MINUTE))
            yield day, self._times[low:high]

    def _any(self, first: datetime, until: datetime) -> bool:
        return any(times for _, times in self._locals(first, until))

    def _days(self, first: date) -> Iterator[date]:
        """Yield the days from one on, until the calendar ends."""
        if self._every_day:
            yield from map(date.fromordinal, range(first.toordinal(), date.max.toordinal()))
            return
        following = _croniter()(self._days_of, _midnight(first) - timedelta(seconds=1))
        # It looks for fifty years, and then, or at the end of the calendar, raises kin of this.
        with suppress(ValueError, OverflowError):
            while True:
                yield following.get_next(datetime).date()

    def _day_before(self, day: date) -> date:
        try:
            if self._every_day:
                return day - _DAY
            found: datetime = _croniter()(self._days_of, _midnight(day)).get_prev(datetime)
            return found.date()
        except (ValueError, OverflowError):
            raise PartitionError(
                f"the cron expression's days {self._days_of!r} have none before {day}: pass a later date"
            ) from None

    @staticmethod
    def _text(time: int, offset: timedelta, zone: tzinfo) -> str:
        at = Period("minute", datetime(2000, 1, 1) + time * _MINUTE, None if zone is UTC else offset)
        return period_key(at)[_DATE:]


class _Span(NamedTuple):
    """A stretch of time in which a clock keeps an offset.

    :param first: from which time on it counts
    :param until: until which
    :param jump: the moment at which it began, if something ticks that the clock skipped then
    """

    first: datetime
    until: datetime
    offset: timedelta
    jump: datetime | None


def tick_key(tick: datetime, zone: tzinfo) -> str:
    """Return the key of what begins with a tick: the minute that the clock shows then."""
    local = tick.astimezone(zone).replace(tzinfo=None, fold=0)
    return period_key(Period("minute", local, None if zone is UTC else offset_at(tick, zone)))


def _read(expression: str, written: Sequence[str]) -> list[list[Any]]:
    """Return the values of each field, as croniter has them: `*` where it is any.

    :raises PartitionError: if they are none
    """
    if len(written) != _FIELDS or _CHANCE.search(expression):
        raise PartitionError(
            f"the cadence every={shown(expression)} is no cron expression: write its five fields, minute, hour, day of "
            f"the month, month and day of the week, such as '0 6 * * 1-5', without H and R"
        )
    try:
        found: list[list[Any]] = _croniter().expand(expression)[0]
    except ValueError as error:
        raise PartitionError(
            f"the cadence every={shown(expression)} is no cron expression: {error}"
        ) from None
    return found


def _croniter() -> Any:
    try:
        from croniter import croniter
    except ImportError:
        raise PartitionError(
            "a cron expression as a cadence needs croniter, which Airflow brings: pip install croniter"
        ) from None
    return croniter


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
