"""Parts of a file with changes by position: comments, and all that isn't changed, stay to the byte."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.source import Source

TODO = "# TODO: "
_NOQA = re.compile(r"[ \t]*#\s*noqa:\s*MAP[\w, ]*")


class Changes:
    """What is changed in a file.

    :param source: the file.
    :param shift: by how many columns what is taken from it moves to the right; to the left where it is negative.
    """

    def __init__(self, source: Source, shift: int = 0) -> None:
        self.source = source
        self.shift = shift
        self._edits: list[tuple[int, int, str]] = []
        self._lines: list[tuple[int, int, str]] = []
        self._noted: set[tuple[int, str]] = set()

    def replace(self, node: ast.AST, text: str) -> None:
        """Write something else in place of a node."""
        start, end = self.source.span(node)
        self._edits.append((start, end, text))

    def replace_at(self, start: int, end: int, text: str) -> None:
        """Write something else in place of a part of the text."""
        self._edits.append((start, end, text))

    def line_before(self, statement: ast.stmt, text: str) -> None:
        """Add lines above a statement, with its indentation."""
        first = first_line(statement)
        line = self.source.lines[first - 1]
        indentation = line[: len(line) - len(line.lstrip())]
        self._lines.append((self.source.offset(first, len(indentation)), len(indentation), text))

    def todo(self, node: ast.AST, text: str) -> None:
        """Add a comment above the statement that a node is in, once, which says what a person has to look at."""
        text = " ".join(text.split())
        statement: ast.AST = node
        while not isinstance(statement, ast.stmt):
            statement = self.source.parents[statement]
        if (statement.lineno, text) not in self._noted:
            self._noted.add((statement.lineno, text))
            self.line_before(statement, f"{TODO}{text}")

    def leave_out(self, statement: ast.stmt) -> None:
        """Leave out a statement, with the comments above it."""
        self._edits.append((*extent(self.source, statement), ""))

    def comments_above(self, statement: ast.stmt, node: ast.AST) -> None:
        """Put the comments that stand in a node, which is replaced, above the statement that it is in."""
        start, end = self.source.span(node)
        tokens = tokenize.generate_tokens(io.StringIO(f"({self.source.text[start:end]}\n)").readline)
        for one in tokens:
            if one.type == tokenize.COMMENT and not _NOQA.match(one.string):
                self.line_before(statement, one.string)

    def without_noqa(self, node: ast.AST) -> None:
        """Leave out the mark by which the lint of a line is meant."""
        end = self.source.span(node)[1]
        found = _NOQA.match(self.source.text, end)
        if found:
            self._edits.append((*found.span(), ""))

    def text(self, start: int, end: int) -> str:
        """Return a part of the file with its changes; of changes in one another the outer one counts."""
        edits = [edit for edit in self._edits if start <= edit[0] and edit[1] <= end]
        for at, column, text in self._lines:
            if start <= at < end:
                indentation = f"\n{' ' * (column + self.shift)}"
                edits.append((at, at, text.replace("\n", indentation) + indentation))
        outer = [(low, high) for low, high, _ in edits if high > low]
        edits = [edit for edit in edits if not any(_is_within(edit, low, high) for low, high in outer)]
        if self.shift:
            # A line that is added goes behind what moves the one that it stands before.
            edits = self._moved(start, end, outer) + edits
        parts, at = [], start
        for low, high, text in sorted(edits, key=lambda edit: (edit[0], edit[1])):
            parts += [self.source.text[at:low], text]
            at = max(at, high)
        return "".join([*parts, self.source.text[at:end]])

    def statements(self, body: list[ast.stmt]) -> str:
        """Return statements, with the comments above them."""
        return "".join(self.text(*extent(self.source, one)) for one in body)

    def _moved(self, start: int, end: int, outer: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
        """Return the changes that move lines, but not those that a text goes on in."""
        within = {
            number
            for node in self.source.all(ast.Constant, ast.JoinedStr)
            for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
        }
        found = []
        for number, line in enumerate(self.source.lines, 1):
            at = self.source.offset(number, 0)
            inside = start <= at < end and number not in within and line.strip()
            if not inside or any(low <= at < high for low, high in outer):
                continue
            gone = min(-self.shift, len(line) - len(line.lstrip(" "))) if self.shift < 0 else 0
            found.append((at, at + gone, " " * max(self.shift, 0)))
        return found


def _is_within(edit: tuple[int, int, str], low: int, high: int) -> bool:
    """Tell whether a change is in what another one replaces."""
    start, end, _ = edit
    if start == end:
        return low < start < high
    return low <= start and end <= high and (start, end) != (low, high)


def first_line(statement: ast.stmt) -> int:
    """Return the line on which a statement begins, its decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(one.lineno for one in decorators)])


def extent(source: Source, statement: ast.stmt) -> tuple[int, int]:
    """Return where a statement begins and ends: whole lines, the comments and empty lines above it included."""
    first = first_line(statement)
    while first > 1 and (
        not source.lines[first - 2].strip() or source.lines[first - 2].lstrip().startswith("#")
    ):
        first -= 1
    last = statement.end_lineno or statement.lineno
    return source.offset(first, 0), source.offset(last, 0) + len(source.lines[last - 1])
