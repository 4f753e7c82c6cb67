"""Periods of time as partitions, on the local clock of any time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.bounds import bounds_of, check_year
from airflow_mapping_kit.partitions.cron import is_cron
from airflow_mapping_kit.partitions.limits import check_number
from airflow_mapping_kit.partitions.periods import (
    EXAMPLES,
    LENGTHS,
    Period,
    example,
    has_minutes,
    parse_period,
    period_key,
    plural,
)
from airflow_mapping_kit.partitions.ranges import keys
from airflow_mapping_kit.partitions.sequences import ordered, shown
from airflow_mapping_kit.partitions.windows import (
    MOST_SKIPPED,
    begun,
    check_cadence,
    clock_key,
    count,
    period_window,
    windows,
)
from airflow_mapping_kit.partitions.zones import UTC, clock_offsets, first_moment, load_zone, offset_at

if TYPE_CHECKING:
    from collections.abc import Iterable


def date_range(
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    every: str = "day",
    timezone: str = "UTC",
    exclude: Iterable[str] = (),
) -> list[str]:
    """Return the keys of all periods that touch the time from `start` to `end`, both included, in a time zone.

    `date_range("2013-01-30", "2013-02-01")` gives `["2013-01-30", "2013-01-31", "2013-02-01"]`;
    `date_range("2024-11-03T00", "2024-11-03T01", every="hour", timezone="America/New_York")` gives
    `["2024-11-03T00-0400", "2024-11-03T01-0400", "2024-11-03T01-0500"]`.

    :param start: an ISO date, a date with a time, a period key (`2013-01`), or a `date` or `datetime`.
        Without an offset it is a time in the zone. If the clock shows this time twice, it is the first.
    :param end: the same. A date or period includes its last moment, so a date without a time includes its last hour.
        If the clock shows a time twice, it is the second
    :param every: `hour`, `day`, `week` (ISO, from Monday), `month`, `quarter` or `year`; minutes that divide an hour,
        such as `5min`, `15min` or `30min`; or a cron expression, such as `0 6 * * 1-5`: from each tick to the next.
        If the zone's offset changes inside an hour or such minutes, each part is a period of its own.
    :param timezone: a name of the tz database, or a fixed offset such as `+01:00`
    :param exclude: keys of this cadence and zone to leave out; they may be outside of the range
    :return: the keys in order. A day or an hour that the local clock skips has no key.
    :raises PartitionError: if `start` or `end` is not a date or is outside the years 2 to 9998, `end` is before
        `start`, the cadence or zone is unknown, or an excluded key has another cadence or zone
    :raises PlanError: if there are more than 1,000,000 periods, for example after a mistyped year
    """
    zone = load_zone(timezone)
    check_cadence(every)
    excluded = {_excluded_key(key, every, zone, timezone) for key in ordered("'exclude'", exclude)}
    first, first_until = bounds_of("start", start, zone, every)
    last, until = bounds_of("end", end, zone, every)
    if last < first and until <= first:
        raise PartitionError(f"the end {shown(end)} is before the start {shown(start)}: swap or correct them")
    made = f"the {plural(every)} from {shown(start)} to {shown(end)}"
    check_number(count(every, first, until, zone) - len(excluded), made, spare=MOST_SKIPPED)
    found = keys(every, first, until, zone)
    if excluded:
        found = [key for key in found if key not in excluded]
    check_number(len(found), made)
    return found


def time_window(key: str, *, every: str | None = None, timezone: str = "UTC") -> dict[str, str]:
    """Return the start and the end of a period as ISO 8601 text with offsets. The end doesn't belong to it.

    `time_window("2024-11-03", timezone="America/New_York")` gives, for that day of 25 hours,
    `{"start": "2024-11-03T00:00:00-04:00", "end": "2024-11-04T00:00:00-05:00"}`.

    The periods of a `date_range` follow each other without gap or overlap. A day starts at the first moment
    at which the local clock shows its date, which isn't always midnight. If the zone's offset has seconds, which
    ISO 8601 can't express (local mean time, before about 1900), the result is in UTC.

    :param key: the key of a period, as `date_range` writes it
    :param every: the cadence of the key, such as `15min` or a cron expression. A key with minutes, such as
        `2024-11-20T13:15`, needs it, because it doesn't say how long its period is. For other keys it is only checked.
    :param timezone: the time zone of the key
    :raises PartitionError: if the key is not the key of a period in this zone, or has another cadence
    """
    start, end = window(key, every=every, timezone=timezone)
    zone = load_zone(timezone)
    return {"start": _iso(start, zone), "end": _iso(end, zone)}


def window(key: str, *, every: str | None = None, timezone: str = "UTC") -> tuple[datetime, datetime]:
    """Return the same as `time_window`, as moments in UTC."""
    zone = load_zone(timezone)
    if every is not None:
        check_cadence(every)
    period = _period(key, "the period key", zone, timezone, every)
    start, end = period_window(period, every, zone)
    if start == end:
        raise PartitionError(
            f"the period {shown(key)} doesn't exist in {timezone}: leave it out, its clock skips it"
        )
    return start, end


def _period(key: Any, what: str, zone: tzinfo, timezone: str, every: str | None) -> Period:
    """Return the period of a key, after checking that it is written as in this zone, and of this cadence."""
    period = parse_period(key) if isinstance(key, str) else None
    if period is None:
        raise PartitionError(
            f"{what} {shown(key)} is no key of a period: write it as '{EXAMPLES['day']}', "
            f"'{EXAMPLES['week']}', '{EXAMPLES['month']}', '{EXAMPLES['quarter']}', "
            f"'{EXAMPLES['year']}', '{EXAMPLES['hour']}' or '{EXAMPLES['minute']}'"
        )
    check_year(key, period.start)
    if every is None and period.every == "minute":
        raise PartitionError(
            f"{what} {shown(key)} doesn't say how long it lasts: say so, such as every='15min', or the cron expression"
        )
    if every is not None and period.every != ("minute" if has_minutes(every) else every):
        raise PartitionError(
            f"{what} {shown(key)} is of a {period.every}, but the range is by {every}: write it as '{example(every)}'"
        )
    if period.every in LENGTHS and key not in (known := _keys_around(period, every or period.every, zone)):
        remedy = (
            f"write it as {' or '.join(map(repr, known))}" if known else "leave it out, its clock skips it"
        )
        of = "an hour" if period.every == "hour" else every
        raise PartitionError(f"{what} {shown(key)} is no key of {of} in {timezone}: {remedy}")
    return period


def _excluded_key(key: Any, every: str, zone: tzinfo, timezone: str) -> str:
    return period_key(_period(key, "the excluded key", zone, timezone, every))


def _keys_around(period: Period, every: str, zone: tzinfo) -> list[str]:
    """Return what periods are called that begin at a local time, or that it is in."""
    if not is_cron(every):
        local = begun(every, period.start)
        offsets = clock_offsets(local, zone, LENGTHS[every])
        return [clock_key(every, local, offset, zone) for offset in offsets]
    if period.offset is None:
        moment = first_moment(period.start, zone)
    else:
        moment = (period.start - period.offset).replace(tzinfo=UTC)
    return [one.key for one in windows(every, moment, moment + LENGTHS["minute"], zone)]


def _iso(moment: datetime, zone: tzinfo) -> str:
    whole_minutes = offset_at(moment, zone) % timedelta(minutes=1) == timedelta()
    return (moment.astimezone(zone) if whole_minutes else moment).isoformat()
