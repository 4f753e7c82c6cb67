"""Read a start or an end as the moments from when until when it lasts."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.periods import (
    LENGTHS,
    Period,
    has_minutes,
    next_period,
    parse_offset,
    parse_period,
)
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import UTC, clock_window, first_moment, last_moment, offset_at

_MICROSECOND = timedelta(microseconds=1)
# Python's calendar ends with the years 1 and 9999: there, an offset or the next period would overflow.
_FIRST_YEAR, _LAST_YEAR = 2, 9998
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.([0-9]{1,9}))?"
    r"(?:(Z)|([+-][0-9]{2}):?([0-9]{2}))?"
)
_DATE_FORMS = (
    "a date '2013-01-31', a date with a time '2013-01-31T05:00:00+01:00', "
    "or a period '2013-01-31T05', '2013-W05', '2013-01', '2013-Q1', '2013'"
)


def bounds_of(what: str, value: Any, zone: tzinfo, every: str = "day") -> tuple[datetime, datetime]:
    """Return the moments from when until when a given start or end lasts: a period, or one microsecond.

    :param every: how long the periods are that it bounds: of text with minutes, which may be the key of one
    """
    parsed: Period | datetime | None = None
    if isinstance(value, datetime):
        parsed = value
    elif isinstance(value, date):
        parsed = Period("day", datetime(value.year, value.month, value.day))
    elif isinstance(value, str):
        parsed = parse_period(value) or _parse_time(value)
    if parsed is None:
        raise PartitionError(f"the {what} {shown(value)} is no date: write {_DATE_FORMS}")
    if isinstance(parsed, datetime):
        check_year(value, parsed)
        return _moment_bounds(value, parsed, zone)
    check_year(value, parsed.start)
    if parsed.every == "minute":
        return _minute_bounds(value, parsed, zone, every)
    if parsed.every != "hour":
        return window_of(parsed, zone)
    if parsed.offset is None:
        return first_moment(parsed.start, zone), last_moment(parsed.start + LENGTHS["hour"], zone)
    start = (parsed.start - parsed.offset).replace(tzinfo=UTC)
    window = clock_window(parsed.start, parsed.offset, zone, LENGTHS["hour"])
    return (start, start + LENGTHS["hour"]) if window[0] == window[1] else window


def check_year(value: Any, local: datetime) -> None:
    """Check that a time is far enough from the calendar's ends.

    :raises PartitionError: naming the value it was given as
    """
    if not _FIRST_YEAR <= local.year <= _LAST_YEAR:
        raise PartitionError(
            f"{shown(value)} is outside the years {_FIRST_YEAR} to {_LAST_YEAR}: pass a date within them"
        )


def window_of(period: Period, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the moments from when until when a period lasts: equal where the zone's clock skips it."""
    if period.every in LENGTHS:
        offset = offset_at(period.start.replace(tzinfo=UTC), zone) if period.offset is None else period.offset
        return clock_window(period.start, offset, zone, LENGTHS[period.every])
    return first_moment(period.start, zone), first_moment(next_period(period).start, zone)


def _minute_bounds(value: Any, minute: Period, zone: tzinfo, every: str) -> tuple[datetime, datetime]:
    """Return the bounds of text such as `2013-01-01T05:15-0500`: a moment, unless a period is called so."""
    if minute.offset is None:
        return _moment_bounds(value, minute.start, zone)
    if every in LENGTHS and has_minutes(every):
        start, end = clock_window(minute.start, minute.offset, zone, LENGTHS[every])
        if start < end:
            return start, start + _MICROSECOND
    return _moment_bounds(value, minute.start.replace(tzinfo=timezone(minute.offset)), zone)


def _moment_bounds(value: Any, moment: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    # A subclass (pendulum's, pandas') has arithmetic of its own: go on with the plain class.
    local = datetime(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond
    )
    offset = moment.utcoffset()
    if offset is not None:
        start = (local - offset).replace(tzinfo=UTC)
        check_year(value, start.astimezone(zone))
        return start, start + _MICROSECOND
    end = last_moment(local, zone)
    skipped = end.astimezone(zone).replace(tzinfo=None) > local
    return first_moment(local, zone), end if skipped else end + _MICROSECOND


def _parse_time(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, minutes, seconds, fraction, zulu, hours_ahead, minutes_ahead = match.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}.{(fraction or '')[:6]:0<6}")
        if hours_ahead:
            return local.replace(tzinfo=timezone(parse_offset(hours_ahead + minutes_ahead)))
    except ValueError:  # such as 2013-02-30T05:00 or the offset +25:00
        return None
    return local.replace(tzinfo=UTC) if zulu else local
