"""The local clock of a time zone: at which moment it shows a time, and when its offset changes."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = timezone.utc
_UTC_NAMES = {"utc", "etc/utc", "uct", "etc/uct", "universal", "etc/universal", "zulu", "etc/zulu"}
_FIXED = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_SECOND = timedelta(seconds=1)
# The shortest time for which any zone kept an offset was four days: Freetown in 1939.
_AT_MOST_ONE_CHANGE = timedelta(days=1)


def load_zone(name: Any) -> tzinfo:
    """Return the time zone of that name: of the tz database, or a fixed offset such as `+01:00`.

    :raises PartitionError: naming what is no time zone
    """
    if isinstance(name, str):
        if name.lower() in _UTC_NAMES:
            return UTC
        if match := _FIXED.fullmatch(name):
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return timezone(offset if match[1] == "+" else -offset, name)
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: 'America' is a directory
            pass
    raise PartitionError(
        f"{shown(name)} is no time zone: pass a name of the tz database such as 'Europe/Berlin', or an "
        f"offset such as '+01:00' (if the name is right, this machine lacks the tz database: install tzdata)"
    )


def offset_at(moment: datetime, zone: tzinfo) -> timedelta:
    """Return how far the zone's clock is ahead of UTC at an aware moment."""
    return moment.astimezone(zone).utcoffset() or timedelta()


def first_moment(local: datetime, zone: tzinfo) -> datetime:
    """Return the first moment, in UTC, at which the zone's clock shows the naive time `local`.

    Where the clock skips that time, this is the moment of the jump.
    """
    before, after = _offsets(local, zone)
    if before < after:  # the clock jumps over this time: the moment of the jump
        local = local.replace(microsecond=0)
        return _change((local - after).replace(tzinfo=UTC), (local - before).replace(tzinfo=UTC), zone)
    return (local - before).replace(tzinfo=UTC)


def last_moment(local: datetime, zone: tzinfo) -> datetime:
    """Return the last moment, in UTC, at which the zone's clock shows the naive time `local`.

    Where the clock skips that time, this is the moment of the jump.
    """
    before, after = _offsets(local, zone)
    return first_moment(local, zone) if before <= after else (local - after).replace(tzinfo=UTC)


def clock_window(
    local: datetime, offset: timedelta, zone: tzinfo, length: timedelta
) -> tuple[datetime, datetime]:
    """Return from when until when the zone's clock shows the hour, or so many minutes, from `local` on with an offset.

    Less than that where the offset changes within it: on 2024-10-06 in Lord Howe, 02:00 jumps to 02:30,
    and the hour `T02+1100` is the half from 02:30 to 03:00. The window is empty if the clock never shows it.
    """
    start = (local - offset).replace(tzinfo=UTC)
    end = start + length
    last = end - _SECOND
    if offset_at(start, zone) == offset:
        return start, end if offset_at(last, zone) == offset else _change(start, last, zone)
    return (_change(start, last, zone), end) if offset_at(last, zone) == offset else (end, end)


def clock_offsets(local: datetime, zone: tzinfo, length: timedelta) -> list[timedelta]:
    """Return the offsets with which the zone's clock shows the hour, or so many minutes, from `local` on.

    Two when the clock goes back and shows it again, none when it jumps over it.
    """
    offsets = dict.fromkeys([*_offsets(local, zone), *_offsets(local + length - _SECOND, zone)])
    windows = {offset: clock_window(local, offset, zone, length) for offset in offsets}
    return [offset for offset, (start, end) in windows.items() if start < end]


def stretches(
    first: datetime, until: datetime, zone: tzinfo
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Yield from when until when the zone's clock keeps an offset, and which, from `first` until `until`."""
    start, offset = first, offset_at(first, zone)
    # Offsets change with whole seconds.
    seen = first.replace(microsecond=0)
    # A fixed offset has no changes to look for.
    while not isinstance(zone, timezone) and seen < until:
        following = min(seen + _AT_MOST_ONE_CHANGE, until)
        if (new := offset_at(following, zone)) != offset:
            change = _change(seen, following, zone)
            yield start, change, offset
            start, offset = change, new
        seen = following
    if start < until:
        yield start, until, offset


def _offsets(local: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """Return the offsets before and after the change around `local`; they are equal where none is."""
    before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return before or timedelta(), after or timedelta()


def _change(start: datetime, end: datetime, zone: tzinfo) -> datetime:
    """Return the second after `start` from which the zone has the offset that it has at `end`."""
    wanted = offset_at(end, zone)
    seconds = range((end - start) // _SECOND + 1)
    return start + _SECOND * bisect_left(
        seconds, True, key=lambda second: offset_at(start + _SECOND * second, zone) == wanted
    )
