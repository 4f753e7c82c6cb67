"""The columns that an author gives a lake: each partition has them, in one order, and no value is changed for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb.columns import clock_to_say, in_file
from airflow_mapping_kit.operators.duckdb.failures import REFUSED
from airflow_mapping_kit.partitions.hidden import is_hidden
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import identifier, literal
from airflow_mapping_kit.tables.described import near

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Schema:
    """Columns and their types, as DuckDB writes them.

    :param connection: where the types are known
    :param columns: `{"carrier": "VARCHAR", "delay": "DECIMAL(10,2)"}`
    :raises QueryError: naming what is no column, or no type that a Parquet file keeps
    """

    def __init__(self, connection: DuckDBPyConnection, columns: Mapping[str, str]) -> None:
        check_schema(columns)
        self._connection = connection
        self._types = {name: _type(connection, name, given) for name, given in columns.items()}

    def selected(self, key: str, dimensions: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
        """Return the expression of each column, in order, which stops at a value that its type can't keep.

        :param dimensions: of the partition, by their names in lower case
        :param given: the query's columns that are no dimensions, and their types
        :raises QueryError: if they are others than these, or no value could be converted
        """
        for name in self._types:
            if name.lower() in dimensions:
                raise QueryError(
                    f"partition {key}: schema: {name!r} is a dimension, which lives in the path: leave it out of schema"
                )
        found = {name.lower(): name for name in given}
        missing = [name for name in self._types if name.lower() not in found]
        if missing:
            raise QueryError(
                f"partition {key}: the query doesn't select "
                f"{', '.join(f'{name!r}{near(name, given)}' for name in missing)}, which the schema has: select it, as "
                f"NULL where it has no value, or take it out of schema"
            )
        wanted = {name.lower() for name in self._types}
        unknown = [name for name in given if name.lower() not in wanted]
        if unknown:
            raise QueryError(
                f"partition {key}: the query selects "
                f"{', '.join(f'{name!r}{near(name, self._types)}' for name in unknown)}, which the schema hasn't: "
                f"leave it out of the query, or add it to schema"
            )
        return {
            name: self._converted(key, name, given[found[name.lower()]], kind)
            for name, kind in self._types.items()
        }

    def _converted(self, key: str, name: str, given: str, kind: str) -> str:
        import duckdb

        column = identifier(name)
        if given == kind:
            return column
        said = f"the column {name!r} is {given} in the query and {kind} in the schema"
        if clock := clock_to_say(column, given, kind):
            raise QueryError(f"partition {key}: {said}, and the time zone is not known: write {clock}")
        converted = f"TRY_CAST({column} AS {kind})"
        try:
            self._connection.execute(f"SELECT {converted} FROM (SELECT NULL::{given} AS {column})")  # noqa: S608
        except duckdb.Error as error:
            raise QueryError(
                f"partition {key}: {said}, and DuckDB converts none to the other: change the query or schema: "
                f"{str(error).partition('LINE 1:')[0].strip()}"
            ) from error
        # A value that can't be one of the type is NULL, and one that is changed doesn't come back as it was.
        hidden = is_hidden(name, hidden_names())
        value = "'***'" if hidden else f"left(CAST({column} AS VARCHAR), 100)"
        before = f"{REFUSED}{said}, which would change its value "
        after = f": write CAST({column} AS {kind}) in the query if that is meant, or change schema"
        return (
            f"CASE WHEN TRY_CAST({converted} AS {given}) IS DISTINCT FROM {column} "
            f"THEN error({literal(before)} || {value} || {literal(after)}) ELSE {converted} END"
        )


def check_schema(columns: Any) -> None:
    """Check that this is a dict of names to types.

    :raises QueryError: naming what isn't
    """
    if not isinstance(columns, Mapping) or not columns:
        raise QueryError(
            f"schema={shown(columns)} is no dict of columns: write {{'carrier': 'VARCHAR', 'delay': 'BIGINT'}}"
        )
    seen: dict[str, str] = {}
    for name, kind in columns.items():
        if not isinstance(name, str) or not name or not isinstance(kind, str):
            raise QueryError(
                f"schema: {shown(name)}: {shown(kind)} is no column: write its name and DuckDB's type"
            )
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise QueryError(f"schema: {other!r} and {name!r} are one column to DuckDB: rename one")


def _type(connection: DuckDBPyConnection, name: str, given: str) -> str:
    """Return a type as DuckDB writes it itself: only that becomes part of a statement."""
    import duckdb

    try:
        kind = str(connection.dtype(given))
    except duckdb.Error as error:
        raise QueryError(
            f"schema: {given!r} of the column {name!r} is no type of DuckDB's: write such as 'BIGINT' or "
            f"'DECIMAL(10,2)': {str(error).partition(chr(10))[0]}"
        ) from error
    return in_file("schema", name, kind)
