"""The periods that have ended: what a run that is due at a moment can load as a whole."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.bounds import bounds_of
from airflow_mapping_kit.partitions.limits import check_number
from airflow_mapping_kit.partitions.periods import plural
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.windows import MOST_SKIPPED, Window, check_cadence, count, windows
from airflow_mapping_kit.partitions.zones import UTC, load_zone

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTANT = timedelta(microseconds=1)
# The last that a period can be of: Python's calendar ends a year later.
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 2
# Periods are stepped over one by one.
_FARTHEST = 100_000


def ended_periods(
    start: datetime | None,
    end: datetime,
    *,
    every: str = "day",
    timezone: str = "UTC",
    offset: int = 0,
    most: int | None = None,
) -> list[str]:
    """Return the keys of every period that ends in `(start, end]`: after `start`, at `end` at the latest.

    Intervals that follow each other have each ended period once, however they lie to the periods. From 03:00
    of 2024-01-02 to 03:00 of 2024-01-03 there is `["2024-01-02"]`, with `offset=-1` `["2024-01-01"]`.

    :param start: an aware moment, or None for the last period alone that ended by `end`
    :param end: an aware moment
    :param every: `hour`, `day`, `week`, `month`, `quarter` or `year`; `15min`, say, or a cron expression
    :param timezone: the zone whose clock the periods are read on
    :param offset: how many periods later: -1 gives the one before each, 1 the one that has begun at its end
    :param most: the first so many are enough
    :return: the keys in order, none if no period ends in the interval
    :raises PartitionError: if the cadence, the zone or the offset is none, or a moment is outside the years 2
        to 9998
    :raises PlanError: if there are more than a plan may have
    """
    zone = load_zone(timezone)
    check_cadence(every)
    check_offset(offset)
    until, _ = bounds_of("end", end, zone)
    if start is None:
        # Of the period that still lasts at the end, the one before.
        return [window.key for window in _shifted(_one(every, until, zone), offset - 1, 1, every, zone)]
    ended = _ended(start, end, every, zone, most)
    if ended and offset:
        ended = list(_shifted(ended[0], offset, len(ended), every, zone))
    return [window.key for window in ended]


def earlier_periods(
    start: datetime | None,
    end: datetime,
    number: int,
    *,
    since: datetime | None,
    every: str = "day",
    timezone: str = "UTC",
    offset: int = 0,
) -> list[str]:
    """Return the keys of so many periods before those of `ended_periods`, the newest first.

    Before those from 03:00 of 2024-01-02 to 03:00 of 2024-01-03 there are, of two, `["2024-01-01", "2023-12-31"]`.
    Where no period ends in the interval, they are the last ones that ended by its end.

    :param since: no period that had ended by then, before the offset counts; `None` for no such bound
    """
    zone = load_zone(timezone)
    check_cadence(every)
    check_offset(offset)
    until, _ = bounds_of("end", end, zone)
    ended = [] if start is None else _ended(start, end, every, zone)
    if start is None:
        (anchor,) = _shifted(_one(every, until, zone), -1, 1, every, zone)
    else:
        anchor = ended[0] if ended else _one(every, until, zone)
    found = _before(anchor, number, since, every, zone)
    if found and offset:
        (anchor,) = _shifted(anchor, offset, 1, every, zone)
        found = _before(anchor, len(found), None, every, zone)
    return [window.key for window in found]


def _before(window: Window, number: int, since: datetime | None, every: str, zone: tzinfo) -> list[Window]:
    found: list[Window] = []
    # Python's calendar begins a year earlier.
    while len(found) < number and window.start.year > _FIRST_YEAR:
        window = _one(every, window.start - _INSTANT, zone)
        if since is not None and window.end <= since:
            break
        found.append(window)
    return found


def _ended(start: datetime, end: datetime, every: str, zone: tzinfo, most: int | None = None) -> list[Window]:
    """Return every period that ends in an interval, after its start, or the first so many."""
    until, _ = bounds_of("end", end, zone)
    after, _ = bounds_of("start", start, zone)
    if until <= after:
        return []
    if most is None:
        check_number(
            count(every, after, until, zone),
            f"the {plural(every)} that end from {start.isoformat()} to {end.isoformat()}",
            spare=MOST_SKIPPED + 1,
        )
    return list(islice((one for one in windows(every, after, until, zone) if one.end <= until), most))


def check_offset(offset: Any) -> None:
    """Check that periods can be shifted by that.

    :raises PartitionError: naming what it is
    """
    if isinstance(offset, bool) or not isinstance(offset, int) or abs(offset) > _FARTHEST:
        raise PartitionError(
            f"offset={shown(offset)}: give a whole number of periods, such as -1 for the one before"
        )


def _one(every: str, moment: datetime, zone: tzinfo) -> Window:
    """Return the period that a moment is in."""
    return next(iter(windows(every, moment, moment + _INSTANT, zone)))


def _shifted(window: Window, offset: int, number: int, every: str, zone: tzinfo) -> Iterator[Window]:
    """Yield so many periods in order, the first of them `offset` periods after one."""
    for _ in range(-offset):
        window = _one(every, window.start - _INSTANT, zone)
    later = max(offset, 0)
    return islice(windows(every, window.start, _FOREVER, zone), later, later + number)
