"""The keys of calendar periods: `2013-01-01T05`, `2013-01-01`, `2013-W01`, `2013-01`, `2013-Q1`, `2013`."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

CADENCES = ("hour", "day", "week", "month", "quarter", "year")
EXAMPLES = {
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
    r"(?:-(?P<day>[0-9]{2})(?:T(?P<hour>[0-9]{2})(?P<offset>[+-][0-9]{4}(?:[0-9]{2})?)?)?)?))?"
)


class Period(NamedTuple):
    """A period of the calendar, not yet of any time zone's clock.

    :param every: one of `CADENCES`
    :param start: its first local time
    :param offset: of an hour outside UTC: the offset in its key
    """

    every: str
    start: datetime
    offset: timedelta | None = None


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
            start = datetime(year, int(match["month"]), int(match["day"]), int(match["hour"]))
            return Period("hour", start, parse_offset(match["offset"]) if match["offset"] else None)
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
    if every == "hour":
        return f"{start.date().isoformat()}T{start.hour:02}{'' if offset is None else _format_offset(offset)}"
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
