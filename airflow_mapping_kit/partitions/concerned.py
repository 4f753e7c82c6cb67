"""Which partitions of a scheme a change of other partitions concerns: those that it agrees with, as far as both say."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.bounds import check_year
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, components
from airflow_mapping_kit.partitions.periods import LENGTHS, has_minutes, parse_period
from airflow_mapping_kit.partitions.windows import period_window
from airflow_mapping_kit.partitions.zones import UTC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, tzinfo

# The places in each dimension, `None` for all of them.
_Box = tuple["tuple[int, ...] | None", ...]

# Why it is not known what a change concerns.
NO_KEY = "no key"
OTHER_DIMENSIONS = "other dimensions"
OVERLAPS = "overlaps"


class Axis(NamedTuple):
    """A dimension of a scheme: its values as text, and what periods they are of, if they are."""

    name: str
    values: Sequence[str]
    cadence: str | None = None


class Concerned(NamedTuple):
    """What some changes concern.

    :param newest: the moment of the newest change by cell, in row-major order of the axes
    :param unknown: of the changes of which it is not known what they concern, their keys by reason
    """

    newest: dict[int, Any]
    unknown: dict[str, list[str]]


def concerned(
    axes: Sequence[Axis],
    changes: Iterable[tuple[str, Any]],
    zone: tzinfo,
    rows: Sequence[Sequence[int]] | None = None,
) -> Concerned:
    """Return which cells of a scheme the changes of some partitions concern.

    A change concerns the cells that have its values in every dimension that both have: one of `date=2013-01-01`
    all origins of that day, one of `carrier=UA/date=2013-01-01` too. A period concerns those that it contains, and
    those that contain it. Where two only overlap, a week and a month, or no dimension is common, it is not known.
    A key that is a period alone, as Airflow's own are, is one of the only dimension of periods.

    :param axes: the dimensions; every combination of their values is a cell, the last dimension fastest
    :param changes: pairs of a partition's key and a moment; several of one key count as the newest
    :param zone: the zone whose clock the periods of the axes are read on
    :param rows: where only some combinations are cells: of each cell which value it has of every dimension

    Example: of the axes `date` (2013-01-01, 2013-01-02) and `origin` (EWR, JFK) the change `("date=2013-01-02", 7)`
    gives `{2: 7, 3: 7}`.
    """
    newest: dict[str, Any] = {}
    for key, moment in changes:
        if key not in newest or newest[key] < moment:
            newest[key] = moment
    columns = [_Column(axis, zone) for axis in axes]
    # By place in each dimension, None for one that the change says nothing of: equal ones are looked at once.
    boxes: dict[_Box, Any] = {}
    unknown: dict[str, list[str]] = {}
    for key, moment in newest.items():
        box = _box(columns, key, unknown)
        if box is not None and (box not in boxes or boxes[box] < moment):
            boxes[box] = moment
    cells_in = _Product(axes) if rows is None else _Rows(rows)
    cells: dict[int, Any] = {}
    for box, moment in boxes.items():
        for cell in cells_in.cells(box):
            if cell not in cells or cells[cell] < moment:
                cells[cell] = moment
    return Concerned(cells, unknown)


def _box(columns: Sequence[_Column], key: str, unknown: dict[str, list[str]]) -> _Box | None:
    """Return the places that a change concerns in each dimension; `None` if it concerns none, or none is known."""
    values = _values(columns, key)
    if values is None:
        unknown.setdefault(NO_KEY, []).append(key)
        return None
    common = [column for column in columns if column.axis.name in values]
    if not common:
        unknown.setdefault(OTHER_DIMENSIONS, []).append(key)
        return None
    found = {column.axis.name: column.places(values[column.axis.name]) for column in common}
    # Of a value that isn't one of ours there is nothing to know.
    if any(not at and not overlaps for at, overlaps in found.values()):
        return None
    if any(overlaps for _, overlaps in found.values()):
        unknown.setdefault(OVERLAPS, []).append(key)
    return tuple(found[column.axis.name][0] if column in common else None for column in columns)


def _values(columns: Sequence[_Column], key: str) -> dict[str, str] | None:
    """Return the values that a change names, by dimension."""
    if "=" not in key:
        periods = [column.axis.name for column in columns if column.axis.cadence]
        return {periods[0]: key} if len(periods) == 1 and parse_period(key) else None
    try:
        return {name: DEFAULT_PARTITION if text is None else text for name, text in components(key).items()}
    except PartitionError:
        return None


class _Product:
    """Cells that are every combination of values."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._lengths = [len(axis.values) for axis in axes]
        self._strides = [prod(self._lengths[number + 1 :]) for number in range(len(axes))]

    def cells(self, box: _Box) -> Iterator[int]:
        steps = (
            [place * stride for place in (range(length) if at is None else at)]
            for length, stride, at in zip(self._lengths, self._strides, box, strict=True)
        )
        return map(sum, product(*steps))


class _Rows:
    """Cells that are some combinations of values."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._rows = rows
        # The cells by their values in some of the dimensions: as many of these as there are kinds of changes.
        self._by: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}

    def cells(self, box: _Box) -> Iterator[int]:
        said = tuple(number for number, at in enumerate(box) if at is not None)
        if said not in self._by:
            by = self._by[said] = {}
            for cell, row in enumerate(self._rows):
                by.setdefault(tuple(row[number] for number in said), []).append(cell)
        for values in product(*(at for at in box if at is not None)):
            yield from self._by[said].get(values, ())


class _Column:
    """A dimension, with what is looked up in it."""

    def __init__(self, axis: Axis, zone: tzinfo) -> None:
        self.axis, self._zone = axis, zone
        self._index = {value: place for place, value in enumerate(axis.values)}
        self._known: dict[str, tuple[tuple[int, ...], bool]] = {}

    def places(self, value: str) -> tuple[tuple[int, ...], bool]:
        """Return where a value stands, or the periods that it contains or is in, and whether it overlaps others."""
        if value in self._index:
            return (self._index[value],), False
        if value not in self._known:
            self._known[value] = self._of_periods(value) if self.axis.cadence else ((), False)
        return self._known[value]

    def _of_periods(self, value: str) -> tuple[tuple[int, ...], bool]:
        # Of a change it isn't known: as short as can be, it is in the period that it is of, or of which it is a part.
        window = _window(value, self._zone, None)
        if window is None:
            return (), False
        first, until = window
        starts, ends, places = self._windows
        # They neither overlap nor lie within each other: of one cadence.
        touched = range(bisect_right(ends, first), bisect_left(starts, until))
        within = [
            places[number]
            for number in touched
            if (first <= starts[number] and ends[number] <= until)
            or (starts[number] <= first and until <= ends[number])
        ]
        return tuple(within), len(within) < len(touched)

    @cached_property
    def _windows(self) -> tuple[list[datetime], list[datetime], list[int]]:
        found = sorted(
            (*window, place)
            for place, value in enumerate(self.axis.values)
            if (window := _window(value, self._zone, self.axis.cadence)) is not None
        )
        return [one[0] for one in found], [one[1] for one in found], [one[2] for one in found]


def _window(value: str, zone: tzinfo, every: str | None) -> tuple[datetime, datetime] | None:
    """Return from when until when a period lasts, an hour without an offset in UTC; `None` if it is none.

    :param every: how long one with minutes lasts, `None` if that isn't known
    """
    period = parse_period(value)
    if period is None:
        return None
    try:
        check_year(value, period.start)
    except PartitionError:
        return None
    if period.every in LENGTHS and period.offset is None:
        zone = UTC
    start, end = period_window(period, every if every and has_minutes(every) else None, zone)
    if start == end and period.offset is not None:
        # An hour of another zone's clock.
        start = (period.start - period.offset).replace(tzinfo=UTC)
        end = start + LENGTHS[period.every]
    return (start, end) if start < end else None
