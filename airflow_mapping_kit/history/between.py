"""The periods between those that runs had: filled in where these are few, named where they are many."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions.bounds import window_of
from airflow_mapping_kit.partitions.periods import LENGTHS, parse_period
from airflow_mapping_kit.partitions.windows import count, windows
from airflow_mapping_kit.partitions.zones import UTC, load_zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of a DAG that was idle for longer nothing is missing: how many periods are filled in between two that are there, of a
# cadence that has so many a year.
_GAPS = {1: 10, 4: 10, 12: 24, 53: 27, 366: 62}
# Of shorter ones two weeks of hours, and four days of minutes: a long weekend.
_MOST, _DAYS = 24 * 14, 4
_A_YEAR = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


class Filled(NamedTuple):
    """Periods in order, with those between them.

    :param gaps: between which there are too many to be filled in: the first and the last of these.
    :param others: those of another cadence or zone: of runs from before it was changed.
    """

    keys: list[str]
    gaps: list[tuple[str, str]]
    others: list[str]


@lru_cache(maxsize=64)
def longest_gap(every: str) -> int:
    """Return how many periods between two are filled in at most."""
    a_year = count(every, *_A_YEAR, UTC)
    return next((gap for most, gap in _GAPS.items() if a_year <= most), max(_MOST, a_year * _DAYS // 366))


def moment_of(key: str, zone: str) -> Any:
    """Return when a period begins, of one that the zone's clock does not have about when."""
    period = parse_period(key)
    if period is None:
        raise ValueError(key)
    return window_of(period, load_zone(zone))[0]


def filled(periods: Sequence[str], every: str, zone: str) -> Filled:
    """Return periods in order, with those of a cadence that are between them.

    What is of another cadence, or another zone, is from before the DAG was changed: to the last of these nothing is
    filled in, since no run makes what would be.
    """
    ordered = sorted(periods, key=lambda one: moment_of(one, zone))
    parts = list(_parts(ordered, every, zone))
    try:
        made = [date_range(part[0], part[-1], every=every, timezone=zone) for part in parts]
    except MappingKitError:  # too many, or years that no calendar has
        return Filled(ordered, [], [])
    whole = list(chain.from_iterable(made))
    places = {key: place for place, key in enumerate(whole)}
    others = [one for one in ordered if one not in places]
    first = ordered.index(others[-1]) + 1 if others else 0
    begins = {part[0] for part in parts}
    keys, gaps = ordered[: first + 1], []
    for before, after in pairwise(ordered[first:]):
        between = whole[places[before] + 1 : places[after]]
        if after in begins:
            gaps.append(_ends(before, after, every, zone))
        elif len(between) > longest_gap(every):
            gaps.append((between[0], between[-1]))
        else:
            keys += between
        keys.append(after)
    return Filled(keys, gaps, others)


def _parts(periods: Sequence[str], every: str, zone: str) -> Iterator[Sequence[str]]:
    """Yield them in parts, where so many are between that they needn't be made to know that these are too many."""
    clock, most = load_zone(zone), 2 * longest_gap(every)
    starts = [moment_of(one, zone) for one in periods]
    begin = 0
    for place, (start, following) in enumerate(pairwise(starts), 1):
        if following - start > most * LENGTHS["minute"] and count(every, start, following, clock) > most:
            yield periods[begin:place]
            begin = place
    yield periods[begin:]


def _ends(before: str, after: str, every: str, zone: str) -> tuple[str, str]:
    """Return the first and the last period between two."""
    clock = load_zone(zone)
    start, until = moment_of(before, zone), moment_of(after, zone)
    following = (one.key for one in windows(every, start, until, clock) if one.start > start)
    return next(following), next(iter(windows(every, until - _INSTANT, until, clock))).key
