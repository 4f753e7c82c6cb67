"""Combine dimensions into partitions: every combination, or element by element."""

from __future__ import annotations

import itertools
import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions.keys import check_name, unique_partitions, value_key
from airflow_mapping_kit.partitions.limits import check_number
from airflow_mapping_kit.partitions.sequences import ordered, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def product(
    *, exclude: Iterable[Mapping[str, Any]] = (), **dimensions: Iterable[Any]
) -> list[dict[str, Any]]:
    """Return a partition for every combination of the dimensions' values.

    `product(origin=["EWR", "JFK"], date=["2013-01-01"])` gives
    `[{"origin": "EWR", "date": "2013-01-01"}, {"origin": "JFK", "date": "2013-01-01"}]`.

    :param exclude: partial partitions to leave out, compared as keys (1 leaves out "1" too):
        `[{"origin": "EWR", "date": "2013-01-01"}, {"origin": "LGA"}]` leaves out one day of EWR, all of LGA
    :param dimensions: for each dimension a list of values: `str`, `int`, `float`, `bool` or `None`
    :return: the partitions in the order of the dimensions; the last dimension changes fastest. None if a dimension
        has no values
    :raises PlanError: if there is no dimension, or there would be more than 1,000,000 partitions
    :raises PartitionError: if a dimension is not a list, has a value twice, has two values with the same key (1 and
        "1") or a value that can't be part of a key, or if `exclude` names an unknown dimension
    """
    # The dimensions are checked, not their product: combinations of different values differ.
    values_by_key = {
        name: _values_by_key(name, values) for name, values in _dimension_lists(dimensions).items()
    }
    names = list(dimensions)
    rules = _exclusion_rules(exclude, names)
    for (name,), excluded in [rule for rule in rules.items() if len(rule[0]) == 1]:
        for (key,) in excluded:
            values_by_key[name].pop(key, None)
        del rules[(name,)]
    made = _combinations(values_by_key)
    number = math.prod(map(len, values_by_key.values()))
    check_number(number, made, spare=_most_excluded(rules, values_by_key))
    combinations = itertools.product(*(by_key.values() for by_key in values_by_key.values()))
    if not rules:
        return [dict(zip(names, values)) for values in combinations]  # noqa: B905 - strict costs a third more time
    tests = [(itemgetter(*map(names.index, dimension)), excluded) for dimension, excluded in rules.items()]
    kept = [
        dict(zip(names, values, strict=True))
        for keys, values in zip(itertools.product(*values_by_key.values()), combinations, strict=True)
        if not any(part(keys) in excluded for part, excluded in tests)
    ]
    check_number(len(kept), made)
    return kept


def zipped(**dimensions: Iterable[Any]) -> list[dict[str, Any]]:
    """Return a partition of the first values of all dimensions, one of the second values, and so on.

    `zipped(country=["US", "DE"], currency=["USD", "EUR"])` gives
    `[{"country": "US", "currency": "USD"}, {"country": "DE", "currency": "EUR"}]`.

    :param dimensions: for each dimension a list of values: `str`, `int`, `float`, `bool` or `None`
    :return: the partitions in the order of the lists; none if all lists are empty
    :raises PlanError: if there is no dimension, or there are more partitions than a plan may have
    :raises PartitionError: if the lengths differ, a dimension is not a list or has a value that can't be part
        of a key, or two partitions have the same key
    """
    lists = _dimension_lists(dimensions)
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{name!r} has {len(values)}" for name, values in lists.items())
        raise PartitionError(f"zipped dimensions differ in length ({lengths}): give each as many values")
    check_number(len(next(iter(lists.values()))), f"the values of {shown(next(iter(lists)))}")
    return unique_partitions(
        [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    )


def _dimension_lists(dimensions: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    if not dimensions:
        raise PlanError("no dimension to combine: pass at least one, such as country=['US', 'DE']")
    lists = {}
    for name, values in dimensions.items():
        check_name(name)
        lists[name] = ordered(f"dimension {shown(name)}", values)
    return lists


def _values_by_key(name: str, values: list[Any]) -> dict[str, Any]:
    by_key: dict[str, Any] = {}
    for value in values:
        key = value_key(name, value)
        if key in by_key:
            first = by_key[key]
            if type(first) is type(value):
                raise PartitionError(
                    f"dimension {shown(name)} has the value {shown(value)} twice: remove one"
                )
            raise PartitionError(
                f"dimension {shown(name)} has the values {shown(first)} and {shown(value)}, "
                f"which have the same partition key {shown(key)}: remove one"
            )
        by_key[key] = value
    return by_key


def _combinations(values_by_key: Mapping[str, Mapping[str, Any]]) -> str:
    sizes = " × ".join(f"{shown(name)} ({len(by_key):,})" for name, by_key in values_by_key.items())
    return f"the combinations of {sizes}"


def _most_excluded(
    rules: Mapping[tuple[str, ...], set[tuple[str, ...]]], values_by_key: Mapping[str, Mapping[str, Any]]
) -> int:
    """Return how many combinations the rules leave out at most, without looking at any."""
    number = math.prod(map(len, values_by_key.values()))
    return sum(
        len(excluded) * number // (math.prod(len(values_by_key[name]) for name in about) or 1)
        for about, excluded in rules.items()
    )


def _exclusion_rules(
    exclude: Iterable[Mapping[str, Any]], names: list[str]
) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Return the excluded combinations of value keys, by the dimensions that they are about."""
    rules: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for partial in ordered("'exclude'", exclude):
        if not hasattr(partial, "keys") or not partial:
            raise PartitionError(
                f"'exclude' holds {shown(partial)}: it takes partial partitions such as {{'country': 'US'}}, "
                f"and no dimension can be called 'exclude'"
            )
        for name in partial:
            if name not in names:
                raise PartitionError(
                    f"'exclude' has {shown(dict(partial))} with the unknown dimension {shown(name)}: "
                    f"use those of the product, {', '.join(map(repr, names))}"
                )
        about = tuple(name for name in names if name in partial)
        rules.setdefault(about, set()).add(tuple(value_key(name, partial[name]) for name in about))
    return rules
