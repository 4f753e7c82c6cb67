"""Rows of CSV and of other tables with a delimiter. All values are text."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, BinaryIO

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.sources.columns import chosen
from airflow_mapping_kit.sources.text import LONGEST, TOO_LONG, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OTHERS = {";": ";", "\t": r"\t", "|": "|"}


class _Held:
    """The lines of a file, and how many characters of the current row were read."""

    def __init__(self, lines: Iterator[str], name: str) -> None:
        self._lines, self._name = lines, name
        self.row = self.of_row = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.of_row += len(line)
            if self.of_row > LONGEST:
                raise SourceError(
                    f"{self._name}, the row after line {self.row:,}, {TOO_LONG}. Or a quote is not closed: look for "
                    'a single " there.'
                )
            yield line


def table_rows(
    content: BinaryIO,
    name: str,
    *,
    encoding: str,
    delimiter: str | None,
    by_name: str = ",",
    columns: Sequence[str] | None = None,
    header: Sequence[str] | None = None,
) -> Iterator[dict[str, str]]:
    """Yield the rows of a table as dicts of text, with the columns of its first line. Blank lines are left out.

    :param delimiter: the character between two values; `None` for the one of the name
    :param by_name: the delimiter that belongs to the file's name
    :param columns: only these columns
    :param header: the names of the columns, if the file has no header
    :raises SourceError: naming the line that is not a row of the table
    """
    # What is too long is to be told by this module; others who read CSV here take a longer one, too.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    held = _Held(lines_of(content, encoding, name), name)
    reader = csv.reader(held, delimiter=delimiter or by_name, strict=True)
    try:
        names = list(header) if header else _header(reader, name)
        if delimiter is None and len(names) == 1 and not header:
            _check_one_column(names[0], by_name, name)
        kept, pick = chosen(names, columns, name)
        number = len(names)
        held.row, held.of_row = reader.line_num, 0
        for values in reader:
            if len(values) != number:
                if not values:
                    continue
                raise SourceError(_wrong_number(name, held.row + 1, names, values))
            yield dict(zip(kept, pick(values) if pick else values, strict=True))
            held.row, held.of_row = reader.line_num, 0
    except csv.Error as error:
        raise SourceError(
            f"{name}, the row after line {held.row:,}, can't be read as CSV: {one_line(error)}. Quote a value that "
            'contains the delimiter, a quote or a line end, and double its quotes: "say ""yes""".'
        ) from error


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    names = next(reader, None)
    if names is None:
        raise SourceError(
            f"{name} is empty: a table has at least a header. Check whether it was written completely."
        )
    if not any(names):
        raise SourceError(f"{name}, line 1, is blank: the first line must name the columns.")
    return names


def _check_one_column(header: str, by_name: str, name: str) -> None:
    for other, written in _OTHERS.items():
        if other in header:
            raise SourceError(
                f"{name} has only one column with the delimiter {by_name!r}: {shown(header)}. Say "
                f'delimiter="{written}"; or delimiter="{by_name}", if that is its name.'
            )


def _number(things: Sequence[str], what: str) -> str:
    return f"{len(things):,} {what}{'s' * (len(things) != 1)}"


def _wrong_number(name: str, line: int, names: list[str], values: list[str]) -> str:
    lacks = f", and none for {shown(names[len(values)])}" if len(values) < len(names) else ""
    return (
        f"{name}, line {line:,}, has {_number(values, 'value')} for {_number(names, 'column')}{lacks}: "
        f"{shown(dict(zip(names, values, strict=False)))}. Correct the line. A value that contains the delimiter "
        "must be in quotes."
    )
