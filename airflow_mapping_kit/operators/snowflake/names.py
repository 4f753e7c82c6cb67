"""Names and text as Snowflake's SQL takes them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow_mapping_kit.exceptions import TargetError

MAX_IDENTIFIER = 255
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_$]*)')


class ObjectName(NamedTuple):
    """A table, stage or file format by its full name, in the spelling that Snowflake stores."""

    database: str
    schema: str
    name: str

    def __str__(self) -> str:
        """Return the name quoted for SQL."""
        return ".".join(map(quoted, self))


def parse_name(argument: str, text: Any) -> tuple[str, ...]:
    """Split a name of one to three parts as Snowflake's SQL does.

    A part without quotes is stored in upper case, a part in double quotes as it is written:
    `public."Flights"` is `("PUBLIC", "Flights")`.

    :param argument: the operator's argument, for the error.
    :raises TargetError: if the text is no such name.
    """
    if not isinstance(text, str) or not text:
        raise TargetError(
            f'{argument}={text!r} is no name: write "flights", "public.flights" or \'"MyName"\''
        )
    if text.startswith("@"):
        raise TargetError(f"{argument}={text!r} is no name: write it without the @")
    parts: list[str] = []
    position = 0
    while True:
        found = _IDENTIFIER.match(text, position)
        if not found:
            raise TargetError(
                f"{argument}={text!r} is no name at {text[position:]!r}: a part is letters, digits, _ and "
                f'$, and doesn\'t start with a digit, or it is anything in double quotes: "My name"'
            )
        parts.append(found[1].replace('""', '"') if found[1] is not None else found[2].upper())
        if len(parts[-1]) > MAX_IDENTIFIER:
            raise TargetError(f"{argument}={text!r} is longer than {MAX_IDENTIFIER} characters")
        position = found.end()
        if position == len(text):
            break
        if text[position] != ".":
            raise TargetError(
                f"{argument}={text!r} is no name at {text[position:]!r}: write that part in double quotes"
            )
        position += 1
    if len(parts) > len(ObjectName._fields):
        raise TargetError(f"{argument}={text!r} has {len(parts)} parts: write database.schema.name at most")
    return tuple(parts)


def quoted(identifier: str) -> str:
    """Return an identifier for SQL: `My Table` is `"My Table"`, and a quote in it is doubled."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    r"""Return text for SQL: `it's a \ here` is `'it''s a \\ here'`; Snowflake's literals know backslashes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
