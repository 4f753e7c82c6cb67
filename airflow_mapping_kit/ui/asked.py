"""What a request asks for, checked: query parameters and the JSON of a body are strangers' text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What Airflow 2 takes by default, `[webserver] allowed_payload_size`. A selection says in a line what more pieces
# would say in megabytes.
MOST_BYTES = 1 << 20
_MOST_TEXT = 10_000
_MOST_RUNS = 1_000


class Query:
    """The parameters of a URL.

    :param given: all values of each.
    """

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self._given = given

    def text(self, name: str) -> str | None:
        """Return the first value, `None` where there is none or an empty one."""
        values = self._given.get(name) or [""]
        return _text(name, values[0]) or None

    def texts(self, name: str) -> list[str]:
        """Return all values, empty ones too: a dimension may have an empty value."""
        return [_text(name, value) for value in self._given.get(name, ())]

    def runs(self) -> int:
        """Return how many of the newest runs are to be looked at.

        :raises Refused: if that is no whole number from 1 to 1,000.
        """
        said = self.text("limit") or "400"
        if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= _MOST_RUNS:
            raise Refused(400, f"limit={one_line(said)!r}: say a whole number from 1 to {_MOST_RUNS:,}.")
        return int(said)


class Action(NamedTuple):
    """What is to be cleared or started.

    :param what: `failed`, `chosen` or `missing`.
    :param pieces: the values of each piece; `None` is all.
    """

    what: str
    task: str | None
    run: str | None
    pieces: list[list[str]] | None
    select: str | None
    digest: str | None


def action(body: bytes) -> Action:
    """Return what the body of a request asks for.

    :raises Refused: 400 or 413, if it is no JSON object of this form, with what is wrong.
    """
    given = object_of(body)
    if given.get("what") not in ("failed", "chosen", "missing"):
        raise Refused(400, f"what={_shown(given.get('what'))}: say failed, chosen or missing.")
    pieces = given.get("pieces")
    if pieces is not None and not (
        isinstance(pieces, list)
        and all(
            isinstance(piece, list) and all(isinstance(value, str) for value in piece) for piece in pieces
        )
    ):
        raise Refused(
            400, f"pieces={_shown(pieces)}: give a list of the values of each piece, all of them text."
        )
    texts = {name: text_of(given, name) for name in ("task", "run", "select", "digest")}
    if given["what"] == "chosen" and pieces is None and texts["select"] is None:
        raise Refused(400, "Say which pieces: `pieces` or `select`.")
    return Action(what=given["what"], pieces=pieces, **texts)


def object_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds.

    :raises Refused: 400 or 413, if it holds none.
    """
    if len(body) > MOST_BYTES:
        raise too_large()
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request holds no JSON: {one_line(error)}.") from error
    if not isinstance(given, dict):
        raise Refused(400, f"The request is a JSON {type(given).__name__}, it has to be an object.")
    return given


def too_large() -> Refused:
    """Return the answer to a body that is too large."""
    return Refused(413, f"The request has more than {MOST_BYTES:,} bytes: say which pieces by `select`.")


def text_of(given: dict[str, Any], name: str) -> str | None:
    """Return a text of a request, `None` where there is none or an empty one.

    :raises Refused: 400, if it is anything else.
    """
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(400, f"{name}={_shown(value)} has to be text.")
    return _text(name, value or "") or None


def _text(name: str, value: str) -> str:
    if len(value) > _MOST_TEXT:
        raise Refused(400, f"{name} has {len(value):,} characters, it may have {_MOST_TEXT:,}.")
    # No database takes it, and PostgreSQL's driver says so by an error.
    if "\0" in value:
        raise Refused(400, f"{name}={_shown(value)} holds a NUL: nothing in Airflow has one.")
    return value


def _shown(value: Any) -> str:
    return one_line(repr(value)[:100])
