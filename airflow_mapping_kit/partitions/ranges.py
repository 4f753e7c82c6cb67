"""The keys of many periods at once: made from the calendar, between the changes of a zone's clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_mapping_kit.partitions.bounds import window_of
from airflow_mapping_kit.partitions.cron import cron_of, is_cron
from airflow_mapping_kit.partitions.periods import LENGTHS, Period, next_period, period_around, period_key
from airflow_mapping_kit.partitions.windows import begun, clock_key
from airflow_mapping_kit.partitions.zones import first_moment, offset_at, stretches

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAY = timedelta(days=1)
_MONTH = timedelta(days=28)
_INSTANT = timedelta(microseconds=1)
# The length of a date in a key.
_DATE = len("2013-01-01")


def keys(every: str, first: datetime, until: datetime, zone: tzinfo) -> list[str]:
    """Return the keys of the periods that touch the time from `first` until `until`, in order.

    They are those of `windows`, which asks the zone's clock for each.
    """
    if is_cron(every):
        return cron_of(every).keys(first, until, zone)
    if every in LENGTHS:
        return _of_the_clock(every, first, until, zone)
    period, last = _first(every, first, zone), _last(every, until, zone)
    if every == "day":
        skipped = _skipped_days(first, until, zone)
        days = range(period.start.toordinal(), last.start.toordinal() + 1)
        return _dates([day for day in days if day not in skipped] if skipped else days)
    found = []
    # No clock skips a week.
    while period.start <= last.start:
        found.append(period_key(period))
        period = next_period(period)
    return found


def _of_the_clock(every: str, first: datetime, until: datetime, zone: tzinfo) -> list[str]:
    found: list[str] = []
    length = LENGTHS[every]
    a_day = _DAY // length
    for start, end, offset in stretches(first, until, zone):
        local = begun(every, _shown(start, offset))
        midnight = local.replace(hour=0, minute=0)
        before, number = (local - midnight) // length, -(-(_shown(end, offset) - local) // length)
        times = [clock_key(every, midnight + length * nth, offset, zone)[_DATE:] for nth in range(a_day)]
        days = range(local.toordinal(), local.toordinal() + -(-(before + number) // a_day))
        whole = [day + time for day in _dates(days) for time in times]
        found += whole[before : before + number]
    return found


def _first(every: str, first: datetime, zone: tzinfo) -> Period:
    """Return the period that a moment is in."""
    period = period_around(every, first.astimezone(zone))
    # Where the clock goes back over midnight, the minutes of the old date that it repeats are the new day's.
    while window_of(period, zone)[1] <= first:
        period = next_period(period)
    return period


def _last(every: str, until: datetime, zone: tzinfo) -> Period:
    """Return the last period that begins before a moment."""
    period = period_around(every, (until - _INSTANT).astimezone(zone))
    while first_moment((following := next_period(period)).start, zone) < until:
        period = following
    return period


def _skipped_days(first: datetime, until: datetime, zone: tzinfo) -> set[int]:
    """Return the ordinals of the days that the zone's clock skips: Apia went from 2011-12-29 to 2011-12-31."""
    skipped: set[int] = set()
    # A fixed offset skips nothing. Over a month no other changes make up for a jump over a day.
    while not isinstance(zone, timezone) and first < until:
        later = min(first + _MONTH, until)
        if offset_at(later, zone) - offset_at(first, zone) > _DAY / 2:
            for (_, change, before), (_, _, after) in pairwise(stretches(first, later + _INSTANT, zone)):
                last, next_shown = _shown(change, before) - _INSTANT, _shown(change, after)
                skipped.update(range(last.toordinal() + 1, next_shown.toordinal()))
        first = later
    return skipped


def _dates(ordinals: Iterable[int]) -> list[str]:
    return list(map(date.isoformat, map(date.fromordinal, ordinals)))


def _shown(moment: datetime, offset: timedelta) -> datetime:
    """Return the time that a clock of that offset shows at a moment."""
    return moment.replace(tzinfo=None) + offset
