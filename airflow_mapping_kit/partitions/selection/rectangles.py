"""From partitions to the shortest selections that are just these."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions.periods import parse_period
from airflow_mapping_kit.partitions.selection.selection import Selection, value_text
from airflow_mapping_kit.partitions.selection.spans import bound, moment_of, number
from airflow_mapping_kit.partitions.selection.terms import Around, Condition, Exactly, Item, Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Of more dimensions only two orders are tried: there are too many.
_MOST_PERMUTED = 3
# Two values are as short as a list.
_RANGE = 3

_Box = tuple[frozenset[str | None], ...]


def selections_of(
    partitions: Iterable[Mapping[str, Any]], dimensions: Sequence[tuple[str, Sequence[Any]]]
) -> list[Selection]:
    """Return few selections that together are some partitions, none of them in two.

    With the dimensions `[("date", ["2013-01-01", "2013-01-02", "2013-01-03"]), ("origin", ["EWR", "JFK"])]`
    the three partitions of EWR give one selection, `origin=EWR`.

    :param partitions: each has a value of each dimension, among those of `dimensions`
    :param dimensions: names and values of all that there is
    :return: each a rectangle: any of some values of each dimension
    """
    return [selection_of(one, dimensions) for one in rectangles_of(partitions, dimensions)]


def rectangles_of(
    partitions: Iterable[Mapping[str, Any]], dimensions: Sequence[tuple[str, Sequence[Any]]]
) -> list[dict[str, frozenset[str | None]]]:
    """Return few rectangles that together are some partitions, as the values that each has of each dimension.

    The partitions of two origins on three days give one, `{"date": {...}, "origin": {"EWR", "JFK"}}`.
    """
    names = [name for name, _ in dimensions]
    points = {tuple(value_text(partition[name]) for name in names) for partition in partitions}
    return [dict(zip(names, box, strict=True)) for box in _boxes(points, dimensions)]


def selection_of(
    values: Mapping[str, Iterable[Any]], dimensions: Sequence[tuple[str, Sequence[Any]]]
) -> Selection:
    """Return the shortest selection that is any of some values of each dimension.

    :param values: the values, by the name of the dimension; of one that isn't named all are meant
    :param dimensions: names and values of all that there is
    """
    terms = []
    for name, every in dimensions:
        if name in values:
            texts = [value_text(value) for value in every]
            chosen = {value_text(value) for value in values[name]}
            if not chosen.issuperset(texts):
                terms.append(_condition(name, chosen, texts))
    made = Selection(tuple(terms))
    return Selection(made.terms, str(made))


def _boxes(
    points: set[tuple[str | None, ...]], dimensions: Sequence[tuple[str, Sequence[Any]]]
) -> list[_Box]:
    axes = range(len(dimensions))
    orders = itertools.permutations(axes) if len(axes) <= _MOST_PERMUTED else (axes, axes[::-1])
    boxes = min((_merged(points, order) for order in orders), key=_size)
    # The same partitions give the same selections in the same order.
    place = [{value_text(value): at for at, value in enumerate(values)} for _, values in dimensions]
    return sorted(
        boxes,
        key=lambda box: [sorted(map(where.__getitem__, one)) for where, one in zip(place, box, strict=True)],
    )


def _size(boxes: list[_Box]) -> tuple[int, int]:
    return len(boxes), sum(len(values) for box in boxes for values in box)


def _merged(points: set[tuple[str | None, ...]], order: Iterable[int]) -> list[_Box]:
    """Return boxes of points: along one axis after the other those are joined that are equal in all others."""
    boxes: set[_Box] = {tuple(frozenset((value,)) for value in point) for point in points}
    for axis in order:
        joined: dict[_Box, set[str | None]] = {}
        for box in boxes:
            joined.setdefault((*box[:axis], *box[axis + 1 :]), set()).update(box[axis])
        boxes = {(*rest[:axis], frozenset(along), *rest[axis:]) for rest, along in joined.items()}
    return list(boxes)


def _condition(name: str, chosen: set[str | None], every: list[str | None]) -> Condition:
    items: list[Item] = []
    texts = [value for value in every if value is not None]
    ordered, told = _in_order(texts), _told_apart(texts)
    for is_chosen, group in itertools.groupby(texts, key=chosen.__contains__):
        run = list(group) if is_chosen else []
        if ordered and len(run) >= _RANGE:
            items.append(Range(bound(run[0], quoted=False), bound(run[-1], quoted=False)))
        else:
            items += [Around(value) if told and parse_period(value) else Exactly(value) for value in run]
    if None in chosen:
        items.append(Exactly(None))
    return Condition(name, tuple(items))


def _in_order(values: list[str]) -> bool:
    """Tell whether values follow each other as ranges have them: periods of one kind, or numbers."""
    periods = [period for value in values if (period := parse_period(value)) is not None]
    if periods:
        return (
            len(periods) == len(values)
            and _told_apart(values)
            and all(one < other for one, other in itertools.pairwise(map(moment_of, periods)))
        )
    sizes = [size for value in values if (size := number(value)) is not None]
    return len(sizes) == len(values) and all(one < other for one, other in itertools.pairwise(sizes))


def _told_apart(values: list[str]) -> bool:
    """Tell whether no period among some values touches another one."""
    periods = [period for value in values if (period := parse_period(value)) is not None]
    kinds = {(period.every, period.offset is None) for period in periods}
    return len(kinds) <= 1 and len(set(map(moment_of, periods))) == len(periods)
