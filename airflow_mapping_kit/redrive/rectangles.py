"""Partitions as few rectangles: each a span of periods, and of every other dimension some values."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The numbers of the values of each dimension.
Rectangle = tuple[frozenset[int], ...]


def rectangles(points: Iterable[tuple[int, ...]], span: int) -> list[Rectangle]:
    """Return rectangles that together are some points, none of them in two, the largest first.

    `[(0, 0), (0, 1), (1, 0), (1, 1)]` gives one, `({0, 1}, {0, 1})`.

    :param points: the number of the value that each partition has of every dimension.
    :param span: the dimension of which a rectangle has numbers that follow each other.
    """
    every = set(points)
    if not every:
        return []
    axes = range(len(next(iter(every))))
    others = [axis for axis in axes if axis != span]
    found = min((_merged(every, order, span) for order in ([*others, span], [span, *others])), key=len)
    return sorted(found, key=lambda one: (-size(one), [sorted(part) for part in one]))


def size(rectangle: Rectangle) -> int:
    """Return how many points it has."""
    number = 1
    for part in rectangle:
        number *= len(part)
    return number


def _merged(points: set[tuple[int, ...]], order: list[int], span: int) -> list[Rectangle]:
    """Join along one axis after the other those that are equal in all others."""
    found: set[Rectangle] = {tuple(frozenset((one,)) for one in point) for point in points}
    for axis in order:
        along: dict[Rectangle, set[int]] = {}
        for one in found:
            along.setdefault((*one[:axis], *one[axis + 1 :]), set()).update(one[axis])
        found = {
            (*rest[:axis], part, *rest[axis:])
            for rest, joined in along.items()
            for part in (_following(joined) if axis == span else [frozenset(joined)])
        }
    return list(found)


def _following(numbers: set[int]) -> list[frozenset[int]]:
    """Return the numbers in runs of those that follow each other."""
    runs = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    return [frozenset(number for _, number in run) for _, run in runs]
