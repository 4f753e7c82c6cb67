"""Wildcards, in a time that grows with the text and not with what could be tried."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

ANY, ONE = "*", "?"


class Chunk(NamedTuple):
    """A part of a pattern: a text, or one of the wildcards `*` and `?`."""

    text: str
    wild: bool = False


Pattern = tuple[Chunk, ...]


def pattern(chunks: list[Chunk]) -> Pattern:
    """Return a pattern in its one form: neighbouring texts joined, of several `*` one."""
    joined: list[Chunk] = []
    for chunk in chunks:
        last = joined[-1] if joined else None
        if last is not None and not (chunk.wild or last.wild):
            joined[-1] = Chunk(last.text + chunk.text)
        elif not (last == chunk == Chunk(ANY, wild=True)) and (chunk.wild or chunk.text):
            joined.append(chunk)
    return tuple(joined)


def fits(wanted: Pattern, text: str) -> bool:
    """Tell whether a whole text is as a pattern says: `*` any number of characters, `?` one."""
    first, *others = _segments(wanted)
    if not others:
        return first.chars.fullmatch(text) is not None
    if first.chars.match(text) is None:
        return False
    *middle, last = others
    at = first.length
    # Each as early as it can stand: any other place leaves less for those that follow.
    for segment in middle:
        found = segment.chars.search(text, at)
        if found is None:
            return False
        at = found.end()
    tail = len(text) - last.length
    return tail >= at and last.chars.match(text, tail) is not None


def within(wanted: Pattern, text: str) -> bool:
    """Tell whether a text has a part that is as a pattern says, in any case of letters."""
    folded = text.casefold()
    if len(wanted) == 1 and not wanted[0].wild:
        return wanted[0].text.casefold() in folded
    return fits(_anywhere(wanted), folded)


class _Segment(NamedTuple):
    """What stands between two `*`: so many characters, some of them any."""

    chars: re.Pattern[str]
    length: int


@lru_cache(maxsize=256)
def _anywhere(wanted: Pattern) -> Pattern:
    star = Chunk(ANY, wild=True)
    folded = [chunk if chunk.wild else Chunk(chunk.text.casefold()) for chunk in wanted]
    return pattern([star, *folded, star])


@lru_cache(maxsize=256)
def _segments(wanted: Pattern) -> list[_Segment]:
    parts: list[list[Chunk]] = [[]]
    for chunk in wanted:
        if chunk == Chunk(ANY, wild=True):
            parts.append([])
        else:
            parts[-1].append(chunk)
    return [
        _Segment(
            re.compile("".join("." if one.wild else re.escape(one.text) for one in part), re.DOTALL),
            sum(len(one.text) for one in part),
        )
        for part in parts
    ]
