"""The dimensions of a history: the values of each in their order, periods without gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions.bounds import window_of
from airflow_mapping_kit.partitions.periods import has_minutes, parse_period
from airflow_mapping_kit.partitions.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Of a DAG that was idle for longer nothing is missing: so many periods are filled in between two that are there.
_GAPS = {"day": 62, "week": 27, "month": 24, "quarter": 12, "year": 10}
# As many of what is shorter, or a cron expression's: two weeks of hours.
_MOST_GAPS = 24 * 14
_NUMBER = re.compile("[0-9]+")
# No character is above it.
_LONGEST = 0x10FFFF


@dataclass(frozen=True)
class Dimension:
    """A dimension of the partitions.

    :param values: all of them as text, in order.
    :param cadence: of a dimension of periods how long one is: `hour`, `day` and so on; `minute` of those with minutes,
        where it isn't known.
    """

    name: str
    values: list[str]
    cadence: str | None = None


def longest_gap(cadence: str) -> int:
    """Return how many periods between two are filled in at most."""
    return _GAPS.get(cadence, _MOST_GAPS)


def dimension(
    name: str,
    values: Collection[str],
    *,
    declared: Sequence[str] = (),
    zone: str = "UTC",
    every: str | None = None,
    filled: bool = False,
) -> tuple[Dimension, list[tuple[str, str]]]:
    """Return a dimension, and between which of its periods a gap is too long to be filled in.

    :param values: those that some plan has.
    :param declared: the values that it is meant to have, in their order.
    :param zone: whose clock periods are read on.
    :param every: how long those with minutes last, if they are of a generator that says so.
    :param filled: whether periods that no plan has belong to it.
    """
    cadence = cadence_of(values)
    if cadence == "minute" and every is not None and has_minutes(every):
        cadence = every
    if cadence is None:
        order = [*declared, *sorted(set(values) - set(declared), key=natural)]
        return Dimension(name, order), []
    periods = sorted(values, key=lambda value: moment_of(value, zone))
    gaps: list[tuple[str, str]] = []
    if filled and len(periods) > 1:
        periods, gaps = _filled(periods, cadence, zone)
    return Dimension(name, periods, cadence), gaps


def cadence_of(values: Collection[str]) -> str | None:
    """Return how long the periods are that the values are, `None` if not all are periods of one length."""
    cadences = set()
    for value in values:
        period = parse_period(value)
        if period is None:
            return None
        cadences.add(period.every)
    # Numbers of four digits are years: so they are in order at least.
    return cadences.pop() if len(cadences) == 1 else None


def moment_of(key: str, zone: str) -> Any:
    """Return when a period begins, of one that the zone's clock does not have about when."""
    period = parse_period(key)
    if period is None:
        raise ValueError(key)
    return window_of(period, load_zone(zone))[0]


def natural(text: str) -> tuple[str, str]:
    """Return what texts are ordered by so that `a2` comes before `a10`."""
    return _NUMBER.sub(_with_length, text), text


def _with_length(number: re.Match[str]) -> str:
    # Text by text it is compared a hundred times faster than part by part. Whatever follows a name comes before what
    # makes it longer; and of numbers the longer is the larger.
    digits = number[0].lstrip("0")
    return f"\0{chr(min(len(digits), _LONGEST))}{digits}"


def _filled(periods: list[str], cadence: str, zone: str) -> tuple[list[str], list[tuple[str, str]]]:
    found = [periods[0]]
    gaps: list[tuple[str, str]] = []
    try:
        every = date_range(periods[0], periods[-1], every=cadence, timezone=zone)
    except MappingKitError:  # too many, or years that no calendar has
        return periods, gaps
    places = {period: place for place, period in enumerate(every)}
    if not places.keys() >= set(periods):  # of another zone
        return periods, gaps
    for before, after in pairwise(periods):
        between = every[places[before] + 1 : places[after]]
        if len(between) <= longest_gap(cadence):
            found += between
        else:
            gaps.append((between[0], between[-1]))
        found.append(after)
    return found, gaps
