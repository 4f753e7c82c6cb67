"""How a query's columns get into a Parquet file: what it has no type for is stored as another, or refused."""

from __future__ import annotations

import re

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb.failures import REFUSED
from airflow_mapping_kit.tables.database import identifier, literal

# DuckDB would write both as DOUBLE, which has 15 digits. A sum() of integers is such.
_WIDE = "DECIMAL(38,0)"
# Names of fields and values of an ENUM are quoted or followed by a blank, the names of types never.
_TYPE_ENDS = r"(?=[\[,)]|$)"
_QUOTED = r""""(?:[^"]|"")*"|'(?:[^']|'')*'"""
_HUGE = re.compile(rf"({_QUOTED})|\bU?HUGEINT{_TYPE_ENDS}")
_CHANGED = re.compile(rf"{_QUOTED}|\b(INTERVAL|TIME WITH TIME ZONE){_TYPE_ENDS}|\b(UNION)\(")
_MOMENT = re.compile(rf"{_QUOTED}|\b(DATE|TIMESTAMP(?:_\w+)?)\b( WITH TIME ZONE)?{_TYPE_ENDS}")
# What each loses in a Parquet file as DuckDB writes it, and what to write in the query instead.
_REMEDIES = {
    "INTERVAL": "only milliseconds, at most 49 days of them: select epoch_us({column}), or CAST({column} AS VARCHAR)",
    "TIME WITH TIME ZONE": "no offset: select CAST({column} AS VARCHAR), or a TIMESTAMPTZ",
    "UNION": "a struct without names: select CAST({column} AS VARCHAR), or a column for each of its types",
}


def stored(key: str, name: str, column_type: str) -> str | None:
    """Return the expression that stands for a column in the file; `None` if the column does as it is.

    `HUGEINT` and `UHUGEINT`, nested ones too, become `DECIMAL(38,0)`; a value that doesn't fit is an error of
    the query that names the column.

    :param key: of the partition, for the error
    :param name: of the column
    :param column_type: as `DESCRIBE` says it: `STRUCT(a HUGEINT, b VARCHAR[])`
    :raises QueryError: naming the column, if Parquet changes its values
    """
    column, narrowed = identifier(name), in_file(f"partition {key}", name, column_type)
    if narrowed == column_type:
        return None
    fitted = f"TRY_CAST({column} AS {narrowed})"
    shown = f"left(CAST({column} AS VARCHAR), 100)"
    before = f"{REFUSED}the column {name!r} has the value "
    after = (
        f", and a Parquet file keeps 38 digits of an integer: select CAST({column} AS VARCHAR), or round it to "
        f"a DOUBLE"
    )
    # Of a list or a map TRY_CAST drops the elements that don't fit, so what comes back is compared.
    return (
        f"CASE WHEN CAST({fitted} AS {column_type}) IS DISTINCT FROM {column} "
        f"THEN error({literal(before)} || {shown} || {literal(after)}) ELSE {fitted} END"
    )


def in_file(where: str, name: str, column_type: str) -> str:
    """Return the type that a column of a type is to have in the file: `HUGEINT[]` gives `DECIMAL(38,0)[]`.

    :param where: what it is a column of, for the error
    :raises QueryError: naming the column, if Parquet changes its values
    """
    changed = next(filter(None, (match[1] or match[2] for match in _CHANGED.finditer(column_type))), None)
    if changed:
        raise QueryError(
            f"{where}: the column {name!r} is of type {column_type}, and of {changed} a Parquet file "
            f"keeps {_REMEDIES[changed].format(column=identifier(name))}"
        )
    return _HUGE.sub(lambda match: match[1] or _WIDE, column_type)


def clock_to_say(column: str, given: str, kind: str) -> str | None:
    """Return what to write where a moment gets or loses its zone between two types: by whose clock would be a guess.

    `clock_to_say('"at"', "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")` gives `"at" AT TIME ZONE 'UTC'`; of a `VARCHAR`,
    which has none or says it itself, `None`.
    """
    here, there = ([bool(match[2]) for match in _MOMENT.finditer(one) if match[1]] for one in (given, kind))
    # Of one number each is compared with its own: two of a struct may have exchanged their zones.
    same = here == there if len(here) == len(there) else sum(here) == sum(there)
    if not here or not there or same:
        return None
    nested = ", of each moment that is nested in it" if given.endswith((")", "]")) else ""
    return f"{column} AT TIME ZONE 'UTC'{nested}"
