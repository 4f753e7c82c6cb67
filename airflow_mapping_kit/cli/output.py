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
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_mapping_kit.printable import in_json, lines, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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
    rows: Sequence[Sequence[Any]],
    *,
    number: Sequence[str] = (),
    cut: Sequence[str] = (),
    of: int | None = None,
) -> None:
    """Print rows, at least one, under headings; of many the first, and how many more there are.

    :param number: the columns that hold numbers, set to the right.
    :param cut: the columns that are cut where the terminal is too narrow; others get several lines.
    :param of: how many rows there are, if not all were given.
    """
    to = console()
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    cells = [[_cell(value) for value in row] for row in rows[:ROWS]]
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
    more = (len(rows) if of is None else of) - ROWS
    if more > 0:
        say(f"and {more:,} more: --output json or csv has all of them")


def as_json(answer: Any) -> None:
    """Print an answer as JSON; programs read the same whether or not a character is escaped in it."""
    click.echo(in_json(json.dumps(answer, indent=2, ensure_ascii=False, default=str)))


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: lines(_text(row.get(name))) for name in columns} for row in rows)
    click.echo(text.getvalue(), nl=False)


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
