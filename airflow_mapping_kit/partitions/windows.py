"""The periods of a zone's clock one after another: from when until when each lasts, and how many there are."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.bounds import window_of
from airflow_mapping_kit.partitions.cron import cron_of, is_cron, tick_key
from airflow_mapping_kit.partitions.periods import (
    CADENCES,
    LENGTHS,
    Period,
    next_period,
    period_around,
    period_key,
)
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import UTC, first_moment, offset_at

if TYPE_CHECKING:
    from collections.abc import Iterator


# So many days any zone's clock has skipped, at most, and none of the other periods.
MOST_SKIPPED = 2
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


class Window(NamedTuple):
    """A period with its key, and from when until when it lasts, its end not included."""

    key: str
    start: datetime
    end: datetime


def check_cadence(every: Any) -> None:
    """Check that there are periods of that length.

    :raises PartitionError: naming what there is
    """
    if is_cron(every):
        cron_of(every)
    elif every not in CADENCES:
        raise PartitionError(
            f"the cadence every={shown(every)} is unknown: choose one of hour, day, week, month, quarter, year, "
            f"minutes that divide an hour, such as 15min, or a cron expression such as '0 6 * * 1-5'"
        )


def windows(every: str, first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    """Yield the periods that touch the time from `first` until `until`, in order.

    They follow each other without gap or overlap. A day or an hour that the zone's clock skips is left out.
    """
    if is_cron(every):
        return _between_ticks(every, first, until, zone)
    if every in LENGTHS:
        return _clock_periods(every, first, until, zone)
    return _calendar_periods(every, first, until, zone)


def period_window(period: Period, every: str | None, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return from when until when a period lasts as it was parsed, of a cadence: equal where the zone has none such.

    :param every: how long one with minutes lasts; `None` where that isn't known: then only the minute
    """
    if period.every != "minute" or every is None:
        return window_of(period, zone)
    if not is_cron(every):
        return window_of(period._replace(every=every), zone)
    tick = (
        first_moment(period.start, zone)
        if period.offset is None
        else (period.start - period.offset).replace(tzinfo=UTC)
    )
    for window in islice(_between_ticks(every, tick, tick + LENGTHS["minute"], zone), 2):
        if window.key == period_key(period):
            return window.start, window.end
    return tick, tick


def count(every: str, first: datetime, until: datetime, zone: tzinfo) -> int:
    """Return how many periods touch the time from `first` until `until`, without making any.

    Days that the zone's clock skips are counted too, hours that it cuts in two only once.
    """
    if is_cron(every):
        return cron_of(every).count(first, until, zone)
    if every in LENGTHS:
        return -(-(until - first) // LENGTHS[every])
    starts = [
        period_around(every, moment.astimezone(zone).replace(tzinfo=None)).start
        for moment in (first, until - timedelta(microseconds=1))
    ]
    if every in ("day", "week"):
        return (starts[1] - starts[0]).days // {"day": 1, "week": 7}[every] + 1
    months = (starts[1].year - starts[0].year) * 12 + starts[1].month - starts[0].month
    return months // {"month": 1, "quarter": 3, "year": 12}[every] + 1


def clock_key(every: str, local: datetime, offset: timedelta, zone: tzinfo) -> str:
    """Return the key of the hour, or so many minutes, that the zone's clock shows from `local` on with that offset."""
    return period_key(Period(every, local, None if zone is UTC else offset))


def begun(every: str, local: datetime) -> datetime:
    """Return when the hour, or so many minutes, began that a local time is in."""
    return local - (local - local.replace(minute=0, second=0, microsecond=0)) % LENGTHS[every]


def _clock_periods(every: str, first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    while first < until:
        offset = offset_at(first, zone)
        local = begun(every, first.astimezone(zone).replace(tzinfo=None, fold=0))
        start, first = window_of(Period(every, local, offset), zone)
        yield Window(clock_key(every, local, offset, zone), start, first)


def _between_ticks(every: str, first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    cron = cron_of(every)
    ticks = cron.ticks(cron.last(first, zone), zone)
    start = next(ticks)
    while start < until:
        # Python's calendar ends before the next one.
        end = next(ticks, _LAST)
        yield Window(tick_key(start, zone), start, end)
        start = end


def _calendar_periods(every: str, first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    period = period_around(every, first.astimezone(zone))
    start, _ = window_of(period, zone)
    while start < until:
        following = next_period(period)
        end = first_moment(following.start, zone)
        # A window can end before `first`: where the clock goes back over midnight, the minutes of the old
        # date that it repeats are the new day's. One can be empty: of a date that the clock skips.
        if start < end and end > first:
            yield Window(period_key(period), start, end)
        period, start = following, end
