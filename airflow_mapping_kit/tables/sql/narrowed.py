"""What PostgreSQL would take into a column and change on the way, without a word."""

from __future__ import annotations

from typing import Any

# By the numbers of its own types, which no server changes.
_NAMES = {
    20: "bigint",
    21: "smallint",
    23: "integer",
    700: "real",
    701: "double precision",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1700: "numeric",
}
_FRACTIONS = {"real", "double precision", "numeric"}
_MOMENTS = {"timestamp", "timestamptz"}
# What of another type a column rounds, cuts off, or reads by the clock of the session.
_CHANGED = {
    "smallint": _FRACTIONS,
    "integer": _FRACTIONS,
    "bigint": _FRACTIONS,
    "real": {"double precision", "numeric"},
    "date": _MOMENTS,
    "time": _MOMENTS,
    "timestamp": {"timestamptz"},
    "timestamptz": {"timestamp"},
}


def narrowed(given: Any, column: Any) -> tuple[str, str] | None:
    """Return the names of a type and of a column's that would change its values; `None` if they go together.

    `narrowed(1700, 23)` gives `("numeric", "integer")`, whose 1.5 would be 2.

    :param given: the number of the type of a query's column
    :param column: that of the table's
    """
    source, target = _NAMES.get(given, ""), _NAMES.get(column, "")
    return (source, target) if source in _CHANGED.get(target, ()) else None
