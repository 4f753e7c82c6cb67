"""Answers as tables for people, as JSON and CSV for programs.

Keys, labels and messages are strangers' text, and a terminal obeys what it is told: whatever a command prints goes
through here, or through `Failure`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_mapping_kit.printable import in_json, lines, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

TABLE, JSON, CSV = "table", "json", "csv"
# So many rows a table has: more of them nobody reads.
ROWS = 50
_STYLES = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "yellow",
    "not_started": "yellow",
    "skipped": "magenta",
    "running": "cyan",
}
# Where nobody looks, lines are as long as they have to be.
_UNLIMITED = 100_000
_NARROW = 12
# So many rows are printed at once: an answer of a million is never in memory as a whole.
_AT_ONCE = 1000

output_option: Callable[[Any], Any] = click.option(
    "--output",
    type=click.Choice([TABLE, JSON, CSV]),
    default=TABLE,
    show_default=True,
    help=f"A table shows {ROWS} pieces of a task; JSON and CSV have all of them.",
)


def console() -> Console:
    """Return a console as wide as the terminal, of unlimited width where the output goes elsewhere."""
    seen = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if seen else _UNLIMITED, highlight=False, soft_wrap=False)


def say(text: str = "", *, err: bool = False) -> None:
    """Print a paragraph, filled to the width of the terminal; its lines stay lines."""
    to = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _UNLIMITED)
    _print(to if err else console(), Text(lines(text)), err=err)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    number: Sequence[str] = (),
    cut: Sequence[str] = (),
    of: int | None = None,
) -> None:
    """Print rows, at least one, under headings; of many the first, and how many more there are.

    :param number: the columns that hold numbers, set to the right.
    :param cut: the columns that are cut where the terminal is too narrow; others get several lines.
    :param of: how many rows there are, where they don't say so by themselves.
    """
    to = console()
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    cells = [[_cell(value) for value in row] for row in islice(rows, ROWS)]
    widths = [
        max(len(name), *(one.cell_len for one in column))
        for name, column in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    for name, width in zip(columns, widths, strict=True):
        room = to.width - sum(widths) - 2 * len(columns) + width
        shown.add_column(
            name,
            justify="right" if name in number else "left",
            no_wrap=name in number or name in cut,
            overflow="ellipsis" if name in cut else "fold",
            # Else the others would be narrowed first.
            max_width=max(room, _NARROW) if name in cut else None,
        )
    for row in cells:
        shown.add_row(*row)
    _print(to, shown)
    more = (len(rows) if of is None else of) - ROWS  # type: ignore[arg-type]  # a generator comes with `of`
    if more > 0:
        say(f"and {more:,} more: --output json or csv has all of them")


class Lines:
    """Rows of an answer that are printed as they come, each a line, however many they are."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = rows


def as_json(answer: Any) -> None:
    """Print an answer as JSON; programs read the same whether or not a character is escaped in it.

    :param answer: with `Lines` in place of lists that may be long.
    """
    streams: dict[str, Lines] = {}

    def named(value: Any) -> str:
        if not isinstance(value, Lines):
            return str(value)
        name = uuid.uuid4().hex
        streams[name] = value
        return name

    text = in_json(json.dumps(answer, indent=2, ensure_ascii=False, default=named))
    for name, one in streams.items():
        before, _, text = text.partition(f'"{name}"')
        click.echo(before, nl=False)
        indent = before[before.rfind("\n") + 1 :]
        _print_lines(one.rows, " " * (len(indent) - len(indent.lstrip())))
    click.echo(text)


def _print_lines(rows: Iterable[Any], indent: str) -> None:
    end = ""
    for part in _parts(rows):
        texts = (in_json(json.dumps(row, ensure_ascii=False, default=str)) for row in part)
        said = f",\n{indent}  ".join(texts)
        click.echo(f",\n{indent}  {said}" if end else f"[\n{indent}  {said}", nl=False)
        end = f"\n{indent}]"
    click.echo(end or "[]", nl=False)


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV with a header, as they come."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for part in _parts(rows):
        writer.writerows({name: lines(_text(row.get(name))) for name in columns} for row in part)
        click.echo(text.getvalue(), nl=False)
        text.seek(0)
        text.truncate()
    click.echo(text.getvalue(), nl=False)


def _parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    coming = iter(rows)
    while part := list(islice(coming, _AT_ONCE)):
        yield part


def _print(to: Console, what: Table | Text, *, err: bool = False) -> None:
    with to.capture() as captured:
        to.print(what)
    # Cells are padded, and so are lines that were broken; in a file nobody wants that.
    printed = captured.get().removesuffix("\n").split("\n")
    click.echo("\n".join(map(str.rstrip, printed)), color=to.is_terminal, err=err)


def _cell(value: Any) -> Text:
    text = one_line(_text(value))
    return Text(text, style=_STYLES.get(text, ""))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
