"""The dimensions of a history: the values of each in their order, periods without gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.history.between import Filled, filled, moment_of
from airflow_mapping_kit.partitions.periods import has_minutes, parse_period

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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


def dimension(
    name: str,
    values: Collection[str],
    *,
    declared: Sequence[str] = (),
    zone: str = "UTC",
    every: str | None = None,
    filling: bool = False,
) -> tuple[Dimension, Filled]:
    """Return a dimension, and what is to be known of periods that no plan has.

    :param values: those that some plan has.
    :param declared: the values that it is meant to have, in their order.
    :param zone: whose clock periods are read on.
    :param every: how long its periods last, if they are of a generator that says so.
    :param filling: whether periods that no plan has belong to it.
    """
    cadence = cadence_of(values, every)
    if filling and every is not None and values and all(map(parse_period, values)):
        found = filled(list(values), every, zone)
        return Dimension(name, found.keys, cadence), found
    if cadence is None:
        order = [*declared, *sorted(set(values) - set(declared), key=natural)]
    else:
        order = sorted(values, key=lambda value: moment_of(value, zone))
    return Dimension(name, order, cadence), Filled(order, [], [])


def cadence_of(values: Collection[str], every: str | None = None) -> str | None:
    """Return how long the periods are that the values are, `None` if not all are periods of one length.

    :param every: how long those with minutes last, where that is known.
    """
    cadences = set()
    for value in values:
        period = parse_period(value)
        if period is None:
            return None
        cadences.add(period.every)
    if cadences == {"minute"} and every is not None and has_minutes(every):
        return every
    # Numbers of four digits are years: so they are in order at least.
    return cadences.pop() if len(cadences) == 1 else None


def natural(text: str) -> tuple[str, str]:
    """Return what texts are ordered by so that `a2` comes before `a10`."""
    return _NUMBER.sub(_with_length, text), text


def _with_length(number: re.Match[str]) -> str:
    # Text by text it is compared a hundred times faster than part by part. Whatever follows a name comes before what
    # makes it longer; and of numbers the longer is the larger.
    digits = number[0].lstrip("0")
    return f"\0{chr(min(len(digits), _LONGEST))}{digits}"
