"""A selection's text as the terms between its spaces, each character marked as bare or as meant literally."""

from __future__ import annotations

import re
from typing import NamedTuple

from airflow_mapping_kit.exceptions import SelectionError

_SPACES = " \t\r\n"
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_QUOTED = re.compile(r'"((?:[^"]|"")*)("?)')
_INSIDE = re.compile(r'""|[^"]')


class Mark(NamedTuple):
    """A character of a term, `""` where two quotes have nothing between them.

    :param at: where it stands in the selection.
    :param bare: whether it may mean something: neither quoted nor percent-encoded.
    """

    char: str
    at: int
    bare: bool


def terms_in(text: str) -> list[list[Mark]]:
    """Return the terms of a selection.

    `a=b "c d"` gives two: the marks of `a=b`, all bare, and those of `c d`, none of them bare.

    :raises SelectionError: if a quote isn't closed
    """
    terms: list[list[Mark]] = []
    term: list[Mark] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in _SPACES:
            if term:
                terms.append(term)
                term = []
            at += 1
        elif char == '"':
            inside = _QUOTED.match(text, at)
            if inside is None or not inside[2]:
                raise SelectionError('this quote is never closed: write " where the value ends', text, at)
            term += _literal(inside[1], at)
            at = inside.end()
        elif escape := _ESCAPE.match(text, at):
            term.append(Mark(chr(int(escape[1], 16)), at, bare=False))
            at = escape.end()
        else:
            term.append(Mark(char, at, bare=True))
            at += 1
    return [*terms, term] if term else terms


def text_of(marks: list[Mark]) -> str:
    """Return the characters of some marks."""
    return "".join(mark.char for mark in marks)


def is_bare(marks: list[Mark]) -> bool:
    """Tell whether nothing of a text is quoted or percent-encoded."""
    return all(mark.bare for mark in marks)


def bare(marks: list[Mark], chars: str) -> int | None:
    """Return the index of the first bare mark that is one of some characters."""
    return next((index for index, mark in enumerate(marks) if mark.bare and mark.char in chars), None)


def split(marks: list[Mark], char: str) -> list[list[Mark]]:
    """Return the marks between those that are a bare character."""
    parts: list[list[Mark]] = [[]]
    for mark in marks:
        if mark.bare and mark.char == char:
            parts.append([])
        else:
            parts[-1].append(mark)
    return parts


def _literal(inside: str, at: int) -> list[Mark]:
    """Return the marks between two quotes, the first of which stands at `at`."""
    if not inside:
        return [Mark("", at, bare=False)]
    # Two quotes there are one.
    return [Mark(one[0][0], at + 1 + one.start(), bare=False) for one in _INSIDE.finditer(inside)]
