"""The keys of periods: `2013-01-01T05:15`, `2013-01-01T05`, `2013-01-01`, `2013-W01`, `2013-01`, `2013-Q1`, `2013`."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

# Minutes that divide an hour: then each hour of a clock is cut alike, whatever its offset is.
LENGTHS = {
    "minute": timedelta(minutes=1),
    **{f"{number}min": timedelta(minutes=number) for number in (2, 3, 4, 5, 6, 10, 12, 15, 20, 30)},
    "hour": timedelta(hours=1),
}
CADENCES = (*LENGTHS, "day", "week", "month", "quarter", "year")
EXAMPLES = {
    "minute": "2013-01-01T05:15' or, outside UTC, '2013-01-01T05:15-0500",
    "hour": "2013-01-01T05' or, outside UTC, '2013-01-01T05-0500",
    "day": "2013-01-01",
    "week": "2013-W01",
    "month": "2013-01",
    "quarter": "2013-Q1",
    "year": "2013",
}
_KEY = re.compile(
    r"(?P<year>[0-9]{4})"
    r"(?:-(?:Q(?P<quarter>[1-4])|W(?P<week>[0-9]{2})|(?P<month>[0-9]{2})"
    r"(?:-(?P<day>[0-9]{2})(?:T(?P<hour>[0-9]{2})(?P<minute>:[0-9]{2})?(?P<offset>[+-][0-9]{4}(?:[0-9]{2})?)?)?)?))?"
)


class Period(NamedTuple):
    """A period of the calendar, not yet of any time zone's clock.

    :param every: one of `CADENCES`; as parsed, `minute` of every key with minutes, which doesn't say how many it lasts
    :param start: its first local time
    :param offset: of minutes or an hour outside UTC: the offset in its key
    """

    every: str
    start: datetime
    offset: timedelta | None = None


def has_minutes(every: str) -> bool:
    """Tell whether the keys of a cadence have minutes: of `15min`, and of any cron expression."""
    return every != "hour" and (every in LENGTHS or every not in CADENCES)


def example(every: str) -> str:
    """Return how a key of a cadence is written, for an error that puts it in quotes."""
    return EXAMPLES["minute" if has_minutes(every) else every]


def plural(every: str) -> str:
    """Return what periods of a cadence are called: `hours`, `periods of 15min`."""
    return f"periods of {every}" if has_minutes(every) and every != "minute" else f"{every}s"


def parse_period(key: str) -> Period | None:
    """Return the period that a key names, or None if it isn't the key of any.

    `2013-Q2` gives the quarter that starts on 2013-04-01; `2013-13` gives None.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    year = int(match["year"])
    try:
        if match["hour"]:
            clock = int(match["hour"]), int(match["minute"][1:]) if match["minute"] else 0
            start = datetime(year, int(match["month"]), int(match["day"]), *clock)
            offset = parse_offset(match["offset"]) if match["offset"] else None
            return Period("minute" if match["minute"] else "hour", start, offset)
        if match["week"]:
            return Period("week", _midnight(date.fromisocalendar(year, int(match["week"]), 1)))
        if match["quarter"]:
            return Period("quarter", datetime(year, 3 * int(match["quarter"]) - 2, 1))
        every = "day" if match["day"] else "month" if match["month"] else "year"
        return Period(every, datetime(year, int(match["month"] or 1), int(match["day"] or 1)))
    except ValueError:  # such as 2013-02-30, 2013-W53 or the offset +9900
        return None


def period_key(period: Period) -> str:
    """Return the key of a period: `parse_period(period_key(period))` is the period."""
    every, start, offset = period
    if every == "hour" or has_minutes(every):
        minutes = "" if every == "hour" else f":{start.minute:02}"
        shown = "" if offset is None else _format_offset(offset)
        return f"{start.date().isoformat()}T{start.hour:02}{minutes}{shown}"
    if every == "week":
        year, week, _ = start.isocalendar()
        return f"{year:04}-W{week:02}"
    if every == "quarter":
        return f"{start.year:04}-Q{(start.month + 2) // 3}"
    return start.date().isoformat()[: {"day": 10, "month": 7, "year": 4}[every]]


def period_around(every: str, local: datetime) -> Period:
    """Return the period, a day or longer, that a local time is in."""
    day = _midnight(local)
    if every == "week":
        return Period(every, day - timedelta(days=day.weekday()))
    if every == "month":
        return Period(every, day.replace(day=1))
    if every == "quarter":
        return Period(every, day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1))
    return Period(every, day.replace(month=1, day=1) if every == "year" else day)


def next_period(period: Period) -> Period:
    """Return the period, a day or longer, that follows on the calendar."""
    # More days than any such period has, fewer than two of them.
    days = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[period.every]
    return period_around(period.every, period.start + timedelta(days=days))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def parse_offset(text: str) -> timedelta:
    """Return the offset that text such as `-0400` or `+005328` names; a ValueError if it is none."""
    clock = time(int(text[1:3]), int(text[3:5]), int(text[5:7] or 0))
    offset = timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)
    return -offset if text[0] == "-" else offset


def _format_offset(offset: timedelta) -> str:
    minutes, seconds = divmod(abs(offset) // timedelta(seconds=1), 60)
    text = f"{'-' if offset < timedelta() else '+'}{minutes // 60:02}{minutes % 60:02}"
    return f"{text}{seconds:02}" if seconds else text
