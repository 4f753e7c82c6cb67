"""The periods of a zone's clock one after another: from when until when each lasts, and how many there are."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.bounds import window_of
from airflow_mapping_kit.partitions.periods import CADENCES, Period, next_period, period_around, period_key
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import UTC, first_moment, offset_at

if TYPE_CHECKING:
    from collections.abc import Iterator


# So many days any zone's clock has skipped, at most, and none of the other periods.
MOST_SKIPPED = 2


class Window(NamedTuple):
    """A period with its key, and from when until when it lasts, its end not included."""

    key: str
    start: datetime
    end: datetime


def check_cadence(every: Any) -> None:
    """Check that there are periods of that length.

    :raises PartitionError: naming what there is
    """
    if every not in CADENCES:
        raise PartitionError(
            f"the cadence every={shown(every)} is unknown: choose one of {', '.join(CADENCES)}"
        )


def windows(every: str, first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    """Yield the periods that touch the time from `first` until `until`, in order.

    They follow each other without gap or overlap. A day or an hour that the zone's clock skips is left out.
    """
    return _hours(first, until, zone) if every == "hour" else _calendar_periods(every, first, until, zone)


def count(every: str, first: datetime, until: datetime, zone: tzinfo) -> int:
    """Return how many periods touch the time from `first` until `until`, without making any.

    Days that the zone's clock skips are counted too, hours that it cuts in two only once.
    """
    if every == "hour":
        return -(-(until - first) // timedelta(hours=1))
    starts = [
        period_around(every, moment.astimezone(zone).replace(tzinfo=None)).start
        for moment in (first, until - timedelta(microseconds=1))
    ]
    if every in ("day", "week"):
        return (starts[1] - starts[0]).days // {"day": 1, "week": 7}[every] + 1
    months = (starts[1].year - starts[0].year) * 12 + starts[1].month - starts[0].month
    return months // {"month": 1, "quarter": 3, "year": 12}[every] + 1


def hour_key(local: datetime, offset: timedelta, zone: tzinfo) -> str:
    """Return the key of the hour that the zone's clock shows at `local` with that offset."""
    return period_key(Period("hour", local, None if zone is UTC else offset))


def _hours(first: datetime, until: datetime, zone: tzinfo) -> Iterator[Window]:
    while first < until:
        local = first.astimezone(zone)
        offset = offset_at(first, zone)
        period = Period("hour", local.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0), offset)
        start, first = window_of(period, zone)
        yield Window(hour_key(period.start, offset, zone), start, first)


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
