"""What a rule finds, where, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import ast

Severity = Literal["error", "warning", "info"]


class Place(NamedTuple):
    """A part of a file: lines from 1, columns in characters from 0."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


class Related(NamedTuple):
    """Another place that belongs to a finding, with a message."""

    place: Place
    message: str


class Edit(NamedTuple):
    """Text that takes the place of other text: from `start` to before `end`, in characters."""

    start: int
    end: int
    text: str


class Replacement(NamedTuple):
    """Text that takes the place of a part of a file."""

    place: Place
    text: str


@dataclass(frozen=True)
class Fix:
    """A change that fixes a finding.

    :param edits: which do not overlap.
    :param safe: whether the DAG still does the same.
    :param imports: names that the file has to import for it: `{"label": "airflow_mapping_kit.labels"}`.
    """

    edits: tuple[Edit, ...]
    safe: bool
    imports: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    :param rule: its id.
    :param place: where.
    :param message: what is wrong there, with the value.
    :param remedy: what to write instead, in one line.
    :param related: other places that belong to it.
    :param fix: how to fix it.
    """

    rule: str
    place: Place
    message: str
    remedy: str
    severity: Severity
    related: tuple[Related, ...] = field(default=())
    fix: Fix | None = None


def place_of(path: str, node: ast.AST, lines: list[str]) -> Place:
    """Return where a node of the tree is; the tree counts columns in bytes of UTF-8."""
    line, end = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
    return Place(
        path,
        line,
        _characters(lines, line, node.col_offset),  # type: ignore[attr-defined]
        end,
        _characters(lines, end, node.end_col_offset or 0),  # type: ignore[attr-defined]
    )


def _characters(lines: list[str], line: int, column: int) -> int:
    text = lines[line - 1] if line <= len(lines) else ""
    return column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))
