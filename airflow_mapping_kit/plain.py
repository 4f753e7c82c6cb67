"""What pieces return as JSON that every reader takes: no class names, no NaN, nothing that a database refuses."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

# PostgreSQL's JSON takes no NUL, and nobody's UTF-8 half a surrogate pair.
_REFUSED = re.compile("[\x00\ud800-\udfff]")


def plain(value: Any, left_out: set[str]) -> Any:
    """Return a value as plain JSON: text, numbers, booleans, `None`, lists, and dicts with text as keys.

    | what | becomes |
    |---|---|
    | text | itself; NUL and half a surrogate pair become U+FFFD |
    | NaN, infinity, pandas' NaT and NA | `None` |
    | dates, times | ISO 8601, `2024-01-31T06:00:00+00:00`; a timedelta its seconds |
    | `Decimal`, `UUID` | text, `"1.10"` |
    | tuples, sets | lists, a set's in order |
    | bytes | Base64 |
    | members of an `Enum` | their value |
    | data classes, of attrs and pydantic too | a dict of their fields |
    | NumPy's arrays and numbers | lists and numbers |
    | data frames of pandas and Polars, tables of Arrow | a list of their rows, each a dict by column |
    | any other object | `None` |

    :param value: what a piece returned.
    :param left_out: gets the names of the types that became `None` for want of such a form.
    """
    try:
        return _plain(value, left_out)
    except Exception as error:  # noqa: BLE001 -- so may a stranger's dict; and lists can hold themselves
        left_out.add(f"{type(value).__name__} ({type(error).__name__})")
        return None


def _plain(value: Any, left_out: set[str]) -> Any:
    for types, form in _FORMS:
        if isinstance(value, types):
            return form(value, left_out)
    try:
        made_of = _made_of(value)
    except Exception:  # noqa: BLE001 -- a stranger's object may do anything, and all the others are well
        made_of = value
    if type(made_of) is not type(value):
        return _plain(made_of, left_out)
    left_out.add(type(value).__name__)
    return None


def _dict(value: Mapping[Any, Any], left_out: set[str]) -> dict[str, Any]:
    return {_name(name, left_out): _plain(part, left_out) for name, part in value.items()}


def _name(key: Any, left_out: set[str]) -> str:
    """Return the key of a dict as JSON has it: `True` is `true`, 1 is `1`."""
    name = _plain(key, left_out)
    return name if isinstance(name, str) else json.dumps(name)


def _list(value: Sequence[Any], left_out: set[str]) -> list[Any]:
    return [_plain(part, left_out) for part in value]


def _sorted(value: Set[Any], left_out: set[str]) -> list[Any]:
    parts = [_plain(part, left_out) for part in value]
    return sorted(parts, key=lambda part: json.dumps(part, sort_keys=True))


# In this order: members of an `Enum` may be text, truth values are numbers, bytes are sequences.
_FORMS: tuple[tuple[Any, Callable[[Any, set[str]], Any]], ...] = (
    (Enum, lambda value, left_out: _plain(value.value, left_out)),
    (str, lambda value, _: _REFUSED.sub("\ufffd", value)),
    ((int, NoneType), lambda value, _: value),
    (float, lambda value, _: value if math.isfinite(value) else None),
    (Mapping, _dict),
    ((bytes, bytearray, memoryview), lambda value, _: base64.b64encode(value).decode()),
    (Sequence, _list),
    (Set, _sorted),
    # NaT of pandas says that it is a date, and is not even itself.
    ((date, time), lambda value, _: value.isoformat() if value == value else None),  # noqa: PLR0124
    (timedelta, lambda value, left_out: _plain(value.total_seconds(), left_out)),
    (Decimal, lambda value, _: str(value) if value.is_finite() else None),
    (UUID, lambda value, _: str(value)),
)


def _made_of(value: Any) -> Any:
    """Return what an object of somebody's class is made of; itself if that is not known."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump"):
        return value.model_dump()
    of_library = _LIBRARIES.get(kind.__module__.partition(".")[0])
    return value if of_library is None else of_library(value, kind.__name__)


def _of_pandas(value: Any, kind: str) -> Any:
    if kind == "NAType":
        return None
    if kind == "DataFrame":
        return value.to_dict(orient="records")
    # Of a series or an index their values; of an interval or a period what they are called.
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _of_numpy(value: Any, kind: str) -> Any:
    if value.dtype.kind != "M":
        return value.tolist()
    # Its moments may be finer than Python's, which would make bare numbers of them.
    if kind == "datetime64":
        return None if str(value) == "NaT" else str(value)
    return [_of_numpy(part, type(part).__name__) for part in value]


def _of_polars(value: Any, kind: str) -> Any:
    return value.to_dicts() if kind == "DataFrame" else value.to_list()


def _of_arrow(value: Any, kind: str) -> Any:  # noqa: ARG001 -- its tables, arrays and scalars tell themselves apart
    return value.to_pylist() if hasattr(value, "to_pylist") else value.as_py()


_LIBRARIES: dict[str, Callable[[Any, str], Any]] = {
    "pandas": _of_pandas,
    "numpy": _of_numpy,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
}
