"""From a selection's text to its terms, or the place where it can't be read."""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import NoReturn

from airflow_mapping_kit.exceptions import PartitionError, SelectionError
from airflow_mapping_kit.partitions.hidden import HIDDEN_VALUE
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, components
from airflow_mapping_kit.partitions.selection.patterns import Chunk, pattern
from airflow_mapping_kit.partitions.selection.spans import (
    Bound,
    backwards,
    bound,
    is_period,
    like_a_date,
)
from airflow_mapping_kit.partitions.selection.terms import (
    NULL,
    Around,
    Condition,
    Either,
    Exactly,
    Item,
    Key,
    Like,
    Range,
    Term,
    Word,
)
from airflow_mapping_kit.partitions.selection.tokens import Mark, bare, is_bare, split, terms_in, text_of

_WILD = "*?"
# A whole key with a space in it, `city=New York/date=2013-01-01`: no other text has an `=` between all its slashes.
_SPACED_KEY = re.compile(r'[^=/" ]+=[^=/"*?]+(?:/[^=/" ]+=[^=/"*?]+)+')
_DOTS = 2


def parsed(text: str) -> tuple[Term, ...]:
    """Return the terms of a selection.

    :raises SelectionError: with the position of what can't be read
    """
    if " " in text.strip() and _SPACED_KEY.fullmatch(text.strip()) and ".." not in text:
        # As it is copied from where keys are shown. As terms it would be about a dimension named `York/date`.
        with contextlib.suppress(PartitionError):
            return (Either((_as_key(components(text.strip())),)),)
    return tuple(_Term(text, marks).read() for marks in terms_in(text))


class _Term:
    def __init__(self, text: str, marks: list[Mark]) -> None:
        self._text, self._at = text, marks[0].at
        self._marks = marks
        # Where the term ends, also behind a closing quote.
        self._end = marks[-1].at + 1

    def read(self) -> Term:
        marks, negated = self._marks, False
        if marks[0].bare and marks[0].char == "!":
            marks, negated = marks[1:], True
            if not marks:
                self._fail("nothing stands after '!': write what must not be, such as '!JFK'", self._end)
        equals = bare(marks, "=")
        if equals is None:
            return Either(tuple(map(self._word, self._listed(marks))), negated, self._at)
        keys = _keys_in(marks)
        if keys is not None:
            return Either(tuple(map(self._key, keys)), negated, self._at)
        return self._condition(marks, equals, negated=negated)

    def _condition(self, marks: list[Mark], equals: int, *, negated: bool) -> Condition:
        name, value = marks[:equals], marks[equals + 1 :]
        if name and name[-1].bare and name[-1].char == "!":
            name, negated = name[:-1], not negated
        said = self._name(name, marks[equals])
        if not value:
            self._fail(
                f"nothing stands after {said + '='!r}: write a value without spaces before it, "
                f'or "" for the empty text',
                marks[equals].at + 1,
            )
        return Condition(said, tuple(map(self._item, self._listed(value))), negated, self._at)

    def _name(self, marks: list[Mark], equals: Mark) -> str:
        name = text_of(marks)
        if not name:
            self._fail(
                "no dimension stands before '=': write 'date=2013-01-01', without spaces around", equals.at
            )
        if marks[-1].bare and marks[-1].char in "<>":
            self._fail(
                "ranges are written with two dots: 'date=2013-01-01..' or 'date=..2013-01-31'", marks[-1].at
            )
        special = bare(marks, ",*?!")
        if special is not None:
            self._fail(
                f"{marks[special].char!r} can't stand in the name of a dimension: put a space between terms, or the "
                f"name into quotes",
                marks[special].at,
            )
        return name

    def _listed(self, marks: list[Mark]) -> list[list[Mark]]:
        """Return what stands between commas, and refuse commas without a neighbour."""
        parts = split(marks, ",")
        for number, part in enumerate(parts):
            if not part:
                self._fail(
                    'a comma has nothing beside it: write values without spaces between, or "" for the empty text',
                    _comma(marks, number),
                )
        return parts

    def _item(self, marks: list[Mark]) -> Item:
        equals = bare(marks, "=")
        if equals is not None:
            self._fail(
                "a second '=' in one term: put a space between terms, or the value into quotes",
                marks[equals].at,
            )
        dots = _dots(marks)
        wild = bare(marks, _WILD)
        if dots is not None:
            if wild is not None:
                self._fail(
                    "a range takes no wildcards: write one or the other, or the bound in quotes",
                    marks[wild].at,
                )
            return self._range(marks, dots)
        if wild is not None:
            return Like(pattern(_chunks(marks)))
        text = text_of(marks)
        if not is_bare(marks):
            return Exactly(text)
        if text.upper() == NULL or text == DEFAULT_PARTITION:
            return Exactly(None)
        self._check_date(text, marks[0].at)
        return Around(text) if is_period(text) else Exactly(text)

    def _range(self, marks: list[Mark], dots: int) -> Range:
        low, high = marks[:dots], marks[dots + _DOTS :]
        if not (low or high):
            self._fail("a range without bounds: write '*' for any value", marks[dots].at)
        if high and (high[0].bare and high[0].char == "."):
            self._fail("a range has two dots: put a bound with dots at its end into quotes", high[0].at)
        first, last = self._bound(low), self._bound(high)
        if first is not None and last is not None and backwards(first, last):
            self._fail(
                f"the range ends with {last.text!r}, before it starts with {first.text!r}: swap them",
                marks[0].at,
            )
        return Range(first, last)

    def _bound(self, marks: list[Mark]) -> Bound | None:
        if not marks:
            return None
        dots = _dots(marks)
        if dots is not None:
            self._fail("a range has one '..': put a bound that has dots in it into quotes", marks[dots].at)
        if marks[-1].bare and marks[-1].char == ".":
            self._fail("a range has two dots: put a bound with dots at its end into quotes", marks[-1].at)
        text, plain = text_of(marks), is_bare(marks)
        if plain:
            self._check_date(text, marks[0].at)
        if plain and (text.upper() == NULL or text == DEFAULT_PARTITION):
            self._fail("NULL is no bound: it comes neither before nor after a value", marks[0].at)
        return bound(text, quoted=not plain)

    def _check_date(self, text: str, at: int) -> None:
        if like_a_date(text):
            self._fail(
                f"{text!r} is no date: write '2013-01-31', '2013-01-31T05', '2013-W05', '2013-01', '2013-Q1' or "
                f"'2013', or put it into quotes if it is text",
                at,
            )

    def _word(self, marks: list[Mark]) -> Key | Word:
        dots = _dots(marks)
        if dots is not None:
            self._fail("a range needs a dimension: write 'date=2013-01-01..2013-01-31'", marks[dots].at)
        if bare(marks, _WILD) is None and any(mark.char == "=" for mark in marks):
            try:
                found = components(text_of(marks))
            except PartitionError:
                pass
            else:
                return _as_key(found)
        wanted = pattern(_chunks(marks))
        if not wanted:
            self._fail("the empty text is in every label: write a part of one", marks[0].at)
        return Word(wanted)

    def _key(self, marks: list[Mark]) -> Key:
        """Return a key, as it is printed: `date=2013-01-01/origin=EWR`."""
        found: dict[str, str | None] = {}
        for part in split(marks, "/"):
            equals = bare(part, "=")
            if equals is None:
                self._fail(
                    "a part of this key is no 'dimension=value': put a value that has '/' and '=' in it into quotes",
                    part[0].at if part else marks[-1].at,
                )
            name, value = self._name(part[:equals], part[equals]), part[equals + 1 :]
            if name in found:
                self._fail(f"the key has the dimension {name!r} twice: put a space between keys", part[0].at)
            found[name] = self._key_value(value, part[equals])
        return _as_key(found)

    def _key_value(self, marks: list[Mark], equals: Mark) -> str | None:
        text = text_of(marks)
        if not text:
            self._fail("nothing stands after '=' in this key: write a value", equals.at + 1)
        second, dots, wild = bare(marks, "="), _dots(marks), bare(marks, _WILD)
        if second is not None:
            self._fail("a second '=' in one part of a key: write '%3D' for it", marks[second].at)
        for index in (dots, None if HIDDEN_VALUE.fullmatch(text) else wild):
            if index is not None:
                self._fail(
                    "a key names one partition, so it takes no ranges and no wildcards: put spaces in place of "
                    "its '/', or the whole key into quotes if they belong to its values",
                    marks[index].at,
                )
        return None if is_bare(marks) and text in (NULL, DEFAULT_PARTITION) else text

    def _fail(self, said: str, at: int) -> NoReturn:
        raise SelectionError(said, self._text, at)


def _keys_in(marks: list[Mark]) -> list[list[Mark]] | None:
    """Return the keys that a term lists, None where it is a condition: no `name=` follows a `/` or `,` in it."""
    signs = [(index, mark.char) for index, mark in enumerate(marks) if mark.bare and mark.char in ",/="]
    starts, seen, is_key = [0], False, False
    for (index, char), following in zip(signs, [*signs[1:], (len(marks), "")], strict=True):
        # A comma is a part of a value, unless a name follows.
        if seen and char != "=" and following[1] == "=" and following[0] > index + 1:
            is_key = True
            if char == ",":
                starts.append(index + 1)
        seen = seen or char == "="
    if not is_key:
        return None
    return [marks[start : end - 1] for start, end in zip(starts, [*starts[1:], len(marks) + 1], strict=True)]


def _as_key(found: dict[str, str | None]) -> Key:
    return Key(tuple(sorted((name, None if value is None else str(value)) for name, value in found.items())))


def _chunks(marks: list[Mark]) -> list[Chunk]:
    return [Chunk(mark.char, wild=mark.bare and mark.char in _WILD) for mark in marks]


def _dots(marks: list[Mark]) -> int | None:
    """Return the index of the first two dots that are bare."""
    return next(
        (
            index
            for index, (one, other) in enumerate(itertools.pairwise(marks))
            if one.bare and other.bare and one.char == other.char == "."
        ),
        None,
    )


def _comma(marks: list[Mark], number: int) -> int:
    """Return where the comma stands that has nothing before it, or nothing after it, the last."""
    commas = [mark.at for mark in marks if mark.bare and mark.char == ","]
    return commas[min(number, len(commas) - 1)]
