"""Which partitions there are to be."""

from __future__ import annotations

from datetime import date, timedelta

ORIGINS = ("EWR", "JFK", "LGA")


def partitions(days: int, origins: tuple[str, ...] = ORIGINS) -> set[str]:
    """Return the keys of the partitions of the first days of 2013."""
    dates = [date(2013, 1, 1) + timedelta(n) for n in range(days)]
    return {f"date={day}/origin={origin}" for day in dates for origin in origins}
