"""Rows of a query as they come; from PostgreSQL with a cursor on the server."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_mapping_kit.exceptions import PartitionError, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# So many rows are in memory at a time, and come in one answer.
_AT_ONCE = 1_000
# Drivers whose cursors hold all rows in memory unless they have a name.
_NAMED = {"psycopg", "psycopg2"}
# What PostgreSQL says of what no cursor can be declared for: several statements, a WITH that writes, and the like.
_NO_CURSOR = {"42601", "0A000"}


def query_rows(
    session: Any, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None
) -> Iterator[dict[str, Any]]:
    """Yield a dict for each row of a query, with values of plain JSON.

    :param session: a connection of a DB-API driver; it stays open until the last row was taken
    :raises QueryError: if the query returns no columns, or the same column twice
    :raises PartitionError: if a value is not a JSON scalar
    """
    # Not every driver takes `None` for "no parameters".
    given = (sql, *([parameters] if parameters else []))
    cursor, rows = _begun(session, given)
    with closing(cursor):
        if cursor.description is None:
            raise QueryError(f"sql_rows needs a query that returns rows, and this one returns none: {sql}")
        columns = [column[0] for column in cursor.description]
        if doubled := sorted({column for column in columns if columns.count(column) > 1}):
            raise QueryError(
                f"The query returns the column {doubled[0]!r} more than once: give each an alias."
            )
        while rows:
            for row in rows:
                # A connection may say that its rows are dicts.
                values = row.values() if isinstance(row, Mapping) else row
                yield {
                    column: json_scalar(column, value) for column, value in zip(columns, values, strict=True)
                }
            rows = cursor.fetchmany(_AT_ONCE)


def _begun(session: Any, given: tuple[Any, ...]) -> tuple[Any, Sequence[Any]]:
    """Return the cursor of a query and its first rows, none if there are no columns."""
    if type(session).__module__.partition(".")[0] in _NAMED and not session.autocommit:
        cursor = session.cursor(name="mapping_kit_rows")
        try:
            cursor.execute(*given)
            return cursor, cursor.fetchmany(_AT_ONCE)
        except Exception as error:
            if (getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)) not in _NO_CURSOR:
                raise
            session.rollback()
    cursor = session.cursor()
    cursor.execute(*given)
    return cursor, () if cursor.description is None else cursor.fetchmany(_AT_ONCE)


def json_scalar(column: str, value: Any) -> str | int | float | bool | None:
    """Return a value of a row as JSON has it: dates and times as ISO 8601 text, decimals and UUIDs as text.

    :param column: its name in errors
    :raises PartitionError: for anything else: lists, bytes, NaN
    """
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise PartitionError(
        f"The column {column!r} holds {value!r}, a {type(value).__name__}, which cannot be part of a "
        f"partition: cast it to text or a number in the query."
    )
