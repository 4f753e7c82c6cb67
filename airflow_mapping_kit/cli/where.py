"""Where partitions are that are not loaded: a small table of numbers, periods by the values of another dimension."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.cli.seen import LOADED
from airflow_mapping_kit.partitions.periods import has_minutes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mapping_kit.cli.seen import Seen

# So many rows and columns of numbers somebody takes in at a look.
_ROWS, _COLUMNS = 16, 12
# What a period is counted in: so many characters of its key name a day, a month, a year.
_BLOCKS = {
    "minute": (16, 13, 10, 7, 4),
    "hour": (13, 10, 7, 4),
    "day": (10, 7, 4),
    "week": (8, 4),
    "month": (7, 4),
    "quarter": (7, 4),
    "year": (4,),
}


class Where(NamedTuple):
    """Numbers of partitions that are not loaded.

    :param rows: the name of a period or value, the number of all, and one of each column.
    :param left: how many more rows there are.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[int]]]
    left: int


def where(seen: Seen, cells: Sequence[int]) -> Where | None:
    """Return how many of some cells are not loaded, by two of their dimensions; `None` where one alone says little.

    Rows without any are left out. Of periods the rows are months or years where days would be too many, newest first.
    """
    open_ = [cell for cell in cells if seen.state(cell) not in LOADED]
    if not seen.dimensions or not open_:
        return None
    values = [seen.values(cell) for cell in open_]
    row = _row(seen)
    name = _blocks(seen, row, [one[row] for one in values])
    column = _column(seen, row)
    if column is None:
        kinds = Counter(map(seen.state, open_))
        columns = [state.replace("_", " ") for state in kinds] if len(kinds) > 1 else []
        labels = [seen.state(cell).replace("_", " ") for cell in open_]
    else:
        there = {one[column] for one in values}
        columns = [value for value in seen.dimensions[column].values if value in there]
        labels = [one[column] for one in values]
    counted = Counter((name(one[row]), label) for one, label in zip(values, labels, strict=True))
    names = _ordered(seen, row, name)
    every = Counter(name(one[row]) for one in values)
    rows = [(one, every[one], [counted[one, label] for label in columns]) for one in names if every[one]]
    return Where([seen.dimensions[row].name, "all", *columns], rows[:_ROWS], len(rows) - len(rows[:_ROWS]))


def _row(seen: Seen) -> int:
    """Return the dimension of periods, or the one with the most values."""
    sizes = [(one.cadence is not None, len(one.values)) for one in seen.dimensions]
    return sizes.index(max(sizes))


def _column(seen: Seen, row: int) -> int | None:
    """Return the dimension that has the most values of those that find room beside each other."""
    sizes = {
        place: len(one.values)
        for place, one in enumerate(seen.dimensions)
        if place != row and 1 < len(one.values) <= _COLUMNS
    }
    return max(sizes, key=sizes.__getitem__) if sizes else None


def _blocks(seen: Seen, row: int, values: Sequence[str]) -> Callable[[str], str]:
    """Return how a value is named, so that there are few names."""
    cadence = seen.dimensions[row].cadence
    if cadence is None:
        return str
    lengths = _BLOCKS["minute" if has_minutes(cadence) else cadence]
    short = next((n for n in lengths if len({value[:n] for value in values}) <= _ROWS), lengths[-1])
    return lambda value: value if short == lengths[0] else value[:short]


def _ordered(seen: Seen, row: int, name: Callable[[str], str]) -> list[str]:
    names = list(dict.fromkeys(map(name, seen.dimensions[row].values)))
    return names[::-1] if seen.dimensions[row].cadence is not None else names
