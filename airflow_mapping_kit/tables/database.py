"""The DuckDB that a task works with, and how names and values get into its SQL."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import MappingKitError, QueryError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

# The offsets that the tz database has as zones, in hours.
_FIRST, _LAST = -12, 14


@contextmanager
def connected(
    memory_limit: str,
    threads: int,
    scratch: Path,
    timezone: str = "UTC",
    connect: Callable[[dict[str, Any]], DuckDBPyConnection] | None = None,
) -> Iterator[DuckDBPyConnection]:
    """Give a DuckDB that spills what exceeds `memory_limit` into `scratch`.

    :param timezone: whose clock tells the day of a TIMESTAMPTZ; DuckDB's own default is that of the machine
    :param connect: makes the connection of its configuration; without it, one to a database in memory
    :raises MappingKitError: if DuckDB isn't installed or refuses a setting
    """
    try:
        import duckdb
    except ImportError as error:
        raise MappingKitError(
            "DuckDB isn't installed where this task runs: pip install 'airflow-mapping-kit[duckdb]'"
        ) from error
    config: dict[str, Any] = {
        "memory_limit": memory_limit,
        "threads": threads,
        "temp_directory": str(scratch / "spill"),
    }
    try:
        connection = duckdb.connect(":memory:", config=config) if connect is None else connect(config)
    except duckdb.Error as error:
        raise MappingKitError(
            f"DuckDB refuses memory_limit={memory_limit!r}, threads={threads!r} "
            f"(write such as '1GiB' and 1): {error}"
        ) from error
    with connection:
        try:
            connection.execute(f"SET TimeZone = {literal(_named(timezone))}")
        except duckdb.Error as error:
            raise MappingKitError(
                f"DuckDB refuses timezone={timezone!r} (write a name of the tz database, such as "
                f"'Europe/Berlin'): {error}"
            ) from error
        try:
            yield connection
        except RuntimeError as error:
            # What a signal's handler raised while DuckDB ran (a timeout, a kill) comes back as the cause.
            raise error.__cause__ or error from None


def _named(zone: str) -> str:
    """Return the name that DuckDB has for an offset of whole hours, which POSIX counts the other way round.

    :raises MappingKitError: for any other offset, of which it has no clock
    """
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", zone)
    if offset is None:
        return zone
    hours = int(offset[2]) if offset[1] == "+" else -int(offset[2])
    if offset[3] != "00" or not _FIRST <= hours <= _LAST:
        raise MappingKitError(
            f"DuckDB has no clock of the offset {zone}, only of whole hours from -12:00 to +14:00: name the zone of "
            f"the tz database that is meant, timezone='Asia/Kolkata' for +05:30, or start the DAG in that zone"
        )
    return f"Etc/GMT{-hours:+}"


def identifier(name: str) -> str:
    """Return a name as SQL has it, in double quotes, those in it doubled."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL has it: `it's` gives `'it''s'`, quotes included.

    Only for the places where DuckDB 1.2 takes neither a parameter nor an expression: the file name of a
    `COPY` and the options of a secret. In DuckDB's plain literals the quote is the only special character.
    """
    return "'" + text.replace("'", "''") + "'"


def expression(value: Any) -> str:
    """Return an expression of a value's own type that holds of the value only its UTF-8 as hex digits.

    `"EWR"` gives `decode(from_hex('455752'))`, 3 gives `CAST(decode(from_hex('33')) AS INTEGER)`. Values
    bound by the Python client would be as safe, but for the first one it imports pandas and pyarrow where
    they are installed: 0.5 CPU seconds, again in each task instance.

    :param value: text, a number, a boolean, a moment with its offset or `None`
    :raises QueryError: for anything else
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        try:
            encoded = value.encode()
        except UnicodeEncodeError as error:
            raise QueryError(
                f"{shown(value)} has half a surrogate pair, which UTF-8 can't hold: decode the text with the encoding "
                f"it was written in"
            ) from error
        return f"decode(from_hex('{encoded.hex()}'))"
    # The unbound methods: a subclass (an Enum, NumPy's float64) may print itself differently.
    if isinstance(value, datetime):
        number, sql_type = value.isoformat(), "TIMESTAMPTZ"
    elif isinstance(value, bool):
        number, sql_type = repr(value), "BOOLEAN"
    elif isinstance(value, int):
        number, sql_type = int.__repr__(value), _integer_type(value)
    elif isinstance(value, float):
        number, sql_type = float.__repr__(value), "DOUBLE"
    else:
        raise QueryError(
            f"{shown(value)} of type {type(value).__name__} can't be a parameter: "
            f"use text, a number, a boolean or None"
        )
    return f"CAST(decode(from_hex('{number.encode().hex()}')) AS {sql_type})"


def _integer_type(value: int) -> str:
    """Return the narrowest type: DuckDB widens where a function wants it, and never narrows."""
    bits = value.bit_length()
    return "INTEGER" if bits < 32 else "BIGINT" if bits < 64 else "HUGEINT"  # noqa: PLR2004  the types' own widths
