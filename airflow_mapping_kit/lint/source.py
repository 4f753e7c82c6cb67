"""A Python file: its exact text, its syntax tree, and the place of each node."""

from __future__ import annotations

import ast
import bisect
import io
import re
import tokenize
import warnings
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from airflow_mapping_kit.lint.scopes import Scope, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Node = TypeVar("Node", bound=ast.AST)

# Only these end a line of Python: `str.splitlines` knows more.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Unreadable(Exception):  # noqa: N818 -- it is no error of the lint
    """A file that this Python can't parse.

    :param line: where, from 1.
    :param column: where, in characters from 0.
    """

    def __init__(self, why: str, line: int = 1, column: int = 0) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


class Source:
    """A file.

    :param path: as findings show it.
    :param data: its bytes.
    :raises Unreadable: if it doesn't parse.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.encoding, self.text = _decoded(data)
        self.tree = _parsed(self.text)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.children: dict[ast.AST, list[ast.AST]] = {}
        self._lookups: dict[ast.Name, tuple[Scope, list[ast.AST]] | None] = {}
        self._functions: dict[ast.AST, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda] = {}
        self._inside: dict[ast.AST, dict[type[ast.AST] | str, list[ast.AST]]] = {}
        self.origins: dict[ast.Name, str] = {}
        self._by_type: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self._walk()

    @classmethod
    def read(cls, path: Path, shown: str) -> Source | None:
        """Read a file; `None` of one that can't have to do with Airflow.

        :raises OSError: if it can't be read.
        :raises Unreadable: if it doesn't parse.
        """
        data = path.read_bytes()
        return cls(shown, data) if b"airflow" in data else None

    def all(self, *types: type[Node]) -> Iterator[Node]:
        """Yield all nodes of some types, of each in the order of the file."""
        for one in types:
            yield from self._by_type.get(one, ())  # type: ignore[misc]

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node is in, from the inside out."""
        found = self.parents.get(node)
        while found is not None:
            yield found
            found = self.parents.get(found)

    def within(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what is in a node, in the order of the file; not what functions and classes in it hold."""
        waiting = self.children[node][::-1]
        while waiting:
            one = waiting.pop()
            yield one
            if not isinstance(one, _OWN_BODY):
                waiting += self.children[one][::-1]

    def inside(self, function: ast.AST) -> dict[type[ast.AST] | str, list[ast.AST]]:
        """Return all that is in a function by its type, names by what they are, too: found out once, asked often."""
        found = self._inside.get(function)
        if found is None:
            found = self._inside[function] = defaultdict(list)
            for node in ast.walk(function):
                found[type(node)].append(node)
                if isinstance(node, ast.Name):
                    found[node.id].append(node)
        return found

    def function_around(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
        """Return the function whose code a node is, `None` at the level of the module or of a class."""
        return self._functions.get(node)

    @cached_property
    def lines(self) -> list[str]:
        """The lines with their ends."""
        return _LINE.findall(self.text)

    @property
    def scopes(self) -> dict[ast.AST, Scope]:
        """The scope that each module, class, function and comprehension is."""
        return self._scoped[0]

    @cached_property
    def _scoped(self) -> tuple[dict[ast.AST, Scope], dict[ast.Name, Scope]]:
        return scopes_of(self.tree, self.parents, self.children)

    def lookup(self, name: ast.Name) -> tuple[Scope, list[ast.AST]] | None:
        """Return the scope that a name is of, and what binds it there; `None` of what nothing in the file binds."""
        try:
            return self._lookups[name]
        except KeyError:
            found = self._lookups[name] = self._scoped[1][name].lookup(name.id)
            return found

    @cached_property
    def star(self) -> str:
        """The module that `from airflow... import *` names, where that is the only such import; else nothing."""
        found = [
            one.module
            for one in self.all(ast.ImportFrom)
            if one.module and not one.level and any(alias.name == "*" for alias in one.names)
        ]
        return found[0] if len(found) == 1 else ""

    def offset(self, line: int, column: int) -> int:
        """Return where a place of the tree is in the text, in characters.

        :param line: from 1.
        :param column: in bytes of UTF-8, as `ast` counts.
        """
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return self._starts[line - 1] + (
            column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))
        )

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends in the text, in characters."""
        return (
            self.offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def at(self, offset: int) -> tuple[int, int]:
        """Return the line from 1, and the column in characters from 0, of a place in the text."""
        line = min(bisect.bisect_right(self._starts, offset), max(len(self.lines), 1))
        return line, offset - self._starts[line - 1]

    def code(self, node: ast.AST) -> str:
        """Return the text of a node as it stands there."""
        start, end = self.span(node)
        return self.text[start:end]

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for line in self.lines:
            starts.append(at)
            at += len(line)
        return [*starts, at]

    def _walk(self) -> None:
        """Note where each node is. No recursion: code may be nested deeper than a stack."""
        waiting: list[ast.AST] = [self.tree]
        parents, by_type = self.parents, self._by_type
        while waiting:
            node = waiting.pop()
            by_type[type(node)].append(node)
            found = self.children[node] = _children(node)
            for child in found:
                parents[child] = node
            self._note_functions(node, found)
            waiting += reversed(found)

    def _note_functions(self, node: ast.AST, children: list[ast.AST]) -> None:
        """Note whose code the children of a node are: decorators and defaults run where a function is defined."""
        around = self._functions.get(node)
        if around is not None:
            for child in children:
                self._functions[child] = around
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for line in node.body:
                self._functions[line] = node
        elif isinstance(node, ast.Lambda):
            self._functions[node.body] = node


_MARKS = frozenset({"ctx", "op", "ops"})
_OWN_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def _children(node: ast.AST) -> list[ast.AST]:
    """Return what is in a node but contexts and operators, which are no code, and shared by all that have them.

    It is `ast.iter_child_nodes`, of which most of the time of a file went, in one loop.
    """
    found: list[ast.AST] = []
    for name in node._fields:
        if name in _MARKS:
            continue
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [one for one in value if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _decoded(data: bytes) -> tuple[str, str]:
    """Return the encoding of a file and its text, with its line ends as they are, without a byte order mark."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return encoding, data.decode(encoding).removeprefix("\ufeff")
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise Unreadable(f"it is not UTF-8, and doesn't declare another encoding ({error})") from None


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # Odd escapes, `x is 1`: not what is asked here.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(str(error.msg), error.lineno or 1, max((error.offset or 1) - 1, 0)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(str(error) or "it is nested too deeply") from None
