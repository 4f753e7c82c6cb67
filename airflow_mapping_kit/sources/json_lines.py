"""Items of JSON Lines: one JSON value per line, of any type."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.sources.text import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# Escaped in JSON; no XCom in PostgreSQL takes them.
_REFUSED = re.compile("[\0\ud800-\udfff]")


class _WrongError(Exception):
    """A value that Python would read, but that JSON doesn't have."""


def json_lines(
    content: BinaryIO, name: str, *, encoding: str, columns: Sequence[str] | None = None
) -> Iterator[Any]:
    """Yield the value of each line. Blank lines are left out.

    :param columns: only these fields of each line, which must be an object
    :raises SourceError: naming the line that isn't one JSON value
    """
    number = 0
    for number, line in enumerate(lines_of(content, encoding, name), start=1):
        try:
            value = _decode(line)
            if "\\u" in line:
                _check_text(value)
        except (ValueError, RecursionError, _WrongError) as error:
            if not line.strip():
                continue
            raise SourceError(_broken(name, number, line, error)) from error
        yield value if columns is None else _taken(value, columns, name, number)
    if not number:
        raise SourceError(f"{name} is empty: check whether it was written completely, or leave it out.")


def _taken(value: Any, columns: Sequence[str], name: str, number: int) -> dict[str, Any]:
    try:
        return {column: value[column] for column in columns}
    except (KeyError, TypeError, IndexError):
        raise SourceError(
            f"{name}, line {number:,}, is not an object with the fields {shown(list(columns))}: {shown(value)}. "
            "Correct it, or leave fields that not all lines have out of columns."
        ) from None


def _broken(name: str, number: int, line: str, error: Exception) -> str:
    place = f"{name}, line {number:,}"
    text = shown(line.strip())
    if isinstance(error, json.JSONDecodeError):
        what = f"is not one JSON value: {error.msg} at character {error.pos + 1:,} of {text}"
        array = line.lstrip().startswith(("[", "{")) and error.pos >= len(line.rstrip())
        hint = " Each value must be on one line. Turn an array into lines, e.g. with jq -c." if array else ""
        return f"{place}, {what}. Correct the line.{hint}"
    if isinstance(error, RecursionError):
        return f"{place}, has values that are nested too deeply: {text}."
    what = str(error) if isinstance(error, _WrongError) else f"can't be read: {error}"
    return f"{place}, {what}: {text}. Correct the line."


def _check_text(value: Any) -> None:
    if _is_refused(value):
        raise _WrongError("contains the character NUL or half a surrogate pair, written as \\u…")


def _is_refused(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_refused, value)) or any(map(_is_refused, value.values()))
    return any(map(_is_refused, value)) if isinstance(value, list) else bool(_REFUSED.search(str(value)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _WrongError(f"has {shown(doubled)} twice in one object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _WrongError(f"contains the number {shown(text)}, which is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise _WrongError(f"contains {text}, which JSON doesn't have: write null")


_decode = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_constant).decode
