"""Ranges of dates that people ask for by name: the last 7 days, the last month."""

from __future__ import annotations

from datetime import date, timedelta

_DAY = timedelta(days=1)
# As a form shows them.
PRESETS = {
    "yesterday": "yesterday",
    "last_7_days": "the last 7 days, until yesterday",
    "last_30_days": "the last 30 days, until yesterday",
    "this_month": "this month, today included",
    "last_month": "last month",
}


def dates_of(preset: str, today: date) -> tuple[str, str]:
    """Return the first and the last date of a preset.

    `dates_of("last_month", date(2024, 3, 31))` gives `("2024-02-01", "2024-02-29")`.

    :param preset: one of `PRESETS`
    """
    first_of_month = today.replace(day=1)
    first, last = {
        "yesterday": (today - _DAY, today - _DAY),
        "last_7_days": (today - 7 * _DAY, today - _DAY),
        "last_30_days": (today - 30 * _DAY, today - _DAY),
        "this_month": (first_of_month, today),
        "last_month": ((first_of_month - _DAY).replace(day=1), first_of_month - _DAY),
    }[preset]
    return first.isoformat(), last.isoformat()
