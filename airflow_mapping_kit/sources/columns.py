"""The columns of a table that are read."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import ordered, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def checked_columns(columns: Any) -> list[str] | None:
    """Return the names of the wanted columns, `None` for all.

    :raises SourceError: if they are not names, if there are none, or if one is there twice
    """
    if columns is None:
        return None
    names = ordered("'columns'", columns)
    for name in names:
        if not isinstance(name, str) or not name or names.count(name) > 1:
            raise SourceError(f"columns={shown(names)}: name each column once, as text.")
    if not names:
        raise SourceError("columns=[] names no column: name the ones that you want, or leave it out.")
    return names


def chosen(
    names: Sequence[str], columns: Sequence[str] | None, name: str
) -> tuple[Sequence[str], Callable[[Sequence[Any]], Sequence[Any]] | None]:
    """Return the columns that are read from a file, and a function that takes their values from a row, `None` for all.

    :param names: the columns that the file has
    :param columns: the wanted columns, `None` for all
    :param name: the name of the file in errors
    :raises SourceError: naming a column that isn't there, is there twice, or has no name
    """
    for number, column in enumerate(columns or names, start=1):
        if not column.strip():
            raise SourceError(
                f"{name}: column {number:,} has no name. Name it, or list the columns that you want: columns=[...]."
            )
        there = names.count(column)
        if there > 1:
            raise SourceError(
                f"{name} has the column {shown(column)} {there} times: rename one, or leave it out with columns=[...]."
            )
        if not there:
            raise SourceError(f"{name} has no column {shown(column)}: it has {shown(list(names))}.")
    if columns is None:
        return names, None
    places = [names.index(column) for column in columns]
    take = itemgetter(*places)
    return columns, take if len(places) > 1 else lambda values: (values[places[0]],)
