"""One query over one partition: its parameters bound, its rows streamed into a Parquet file by DuckDB."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import MappingKitError, QueryError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

# How the query's own error() is told from DuckDB's errors.
_CONTRADICTION = "mapping-kit-contradiction:"


def identifier(name: str) -> str:
    """Return a name as SQL has it: `day "1"` gives `"day ""1\"""`."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL has it: `it's` gives `'it''s'`.

    Only for the places where DuckDB 1.2 takes neither a parameter nor an expression: the file name of a
    `COPY` and the options of a secret. In DuckDB's plain literals the quote is the only special character.
    """
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def connected(memory_limit: str, threads: int, scratch: Path) -> Iterator[DuckDBPyConnection]:
    """Give an in-memory DuckDB that spills what exceeds `memory_limit` into `scratch`."""
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
        connection = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        raise MappingKitError(
            f"DuckDB refuses memory_limit={memory_limit!r}, threads={threads!r}: {error}. Write such as '1GiB' and 1"
        ) from error
    with connection:
        yield connection


@dataclass(frozen=True)
class Selection:
    """A query that was fitted to one partition."""

    key: str
    partition: Mapping[str, Any]
    parameters: Mapping[str, Any]
    sql: str


class PartitionQuery:
    """One `SELECT` whose named parameters are a partition's dimensions.

    :param connection: where it runs
    :param sql: the query; `$name` stands for the value of dimension `name`
    :param unused: dimensions that the query need not use
    :raises QueryError: if the text isn't exactly one `SELECT`
    """

    def __init__(self, connection: DuckDBPyConnection, sql: str, unused: Collection[str] = ()) -> None:
        import duckdb

        self._connection = connection
        self._unused = frozenset(unused)
        try:
            statements = connection.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(f"DuckDB can't read the query: {error}") from error
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            found = ", ".join(statement.type.name for statement in statements) or "no statement"
            raise QueryError(f"the query has to be exactly one SELECT, not {found}: {shown(sql)}")
        self._text = _without_semicolon(statements[0].query)
        self._parameters = frozenset(statements[0].named_parameters)

    def bind(self, key: str, partition: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the query's parameters, without running anything.

        `{"origin": "EWR", "date": "2013-01-01"}` gives itself for a query with `$origin` and `$date`.

        :raises QueryError: if the partition lacks a parameter, or the query forgets a dimension
        """
        # DuckDB's names, of parameters as of columns, don't tell upper from lower case.
        dimensions = {name.lower(): name for name in partition}
        if len(dimensions) < len(partition):
            raise QueryError(
                f"partition {key}: DuckDB can't tell dimensions apart that differ only in case: rename one"
            )
        names = ", ".join(sorted(partition))
        for parameter in sorted(self._parameters):
            if parameter.lower() not in dimensions:
                raise QueryError(
                    f"partition {key}: the query asks for ${parameter}, which is none of the partition's dimensions "
                    f"({names}): use one of these, or add {parameter!r} to the partition"
                )
        used = {parameter.lower() for parameter in self._parameters}
        for name in sorted(partition):
            if name.lower() not in used and name not in self._unused:
                raise QueryError(
                    f"partition {key}: the query doesn't use the dimension {name!r}, so each of its values would get "
                    f"the same rows: use ${name} in the WHERE clause, or list it in unused=[{name!r}]"
                )
        return {parameter: partition[dimensions[parameter.lower()]] for parameter in self._parameters}

    def select(self, key: str, partition: Mapping[str, Any]) -> Selection:
        """Fit the query to a partition and to the sources as they are, without reading their rows.

        :raises QueryError: if it doesn't fit, or returns nothing but dimensions
        :raises AirflowException: if a source isn't there
        """
        parameters = self.bind(key, partition)
        with _errors_named(key, partition):
            clause = self._clause(key, partition, self._columns(parameters))
        return Selection(key, partition, parameters, f"{clause} FROM (\n{self._text}\n)")

    def write(self, selection: Selection, path: Path) -> int:
        """Write the selected rows to `path` as Parquet, without the dimensions, and return how many.

        :raises QueryError: if a value can't be converted, or a row belongs to another partition
        :raises AirflowException: if reading or writing failed in a way that may pass
        """
        with _errors_named(selection.key, selection.partition):
            row = self._connection.execute(
                # Without USE_TMP_FILE false DuckDB would write beside the file that is held, and rename over it.
                f"COPY ({selection.sql}) TO {literal(str(path))} (FORMAT parquet, USE_TMP_FILE false)",
                selection.parameters,
            ).fetchone()
        return int(row[0]) if row else 0

    def _columns(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        described = self._connection.execute(f"DESCRIBE SELECT * FROM (\n{self._text}\n)", parameters)  # noqa: S608  the user's own query
        return {name: column_type for name, column_type, *_ in described.fetchall()}

    def _clause(self, key: str, partition: Mapping[str, Any], columns: Mapping[str, str]) -> str:
        """Return the SELECT clause that drops the dimensions, and stops at a row of another partition.

        The comparison is part of a column that is kept, not of a WHERE: filters are moved into the query, where
        they would see rows that the query itself drops.
        """
        dimensions = {name.lower(): value for name, value in partition.items()}
        dropped = {name: column_type for name, column_type in columns.items() if name.lower() in dimensions}
        kept = [name for name in columns if name not in dropped]
        if not kept:
            raise QueryError(
                f"partition {key}: the query returns only dimensions ({', '.join(dropped)}), which live in the path, "
                f"so nothing is left to store: select at least one other column"
            )
        if not dropped:
            return "SELECT *"
        cases = ""
        for number, (name, column_type) in enumerate(dropped.items()):
            column, value = identifier(name), dimensions[name.lower()]
            if value is None:
                belongs = f"{column} IS NULL"
            else:
                variable = f"mapping_kit_{number}"
                self._connection.execute(f"SET VARIABLE {variable} = $value", {"value": value})
                belongs = f"COALESCE({column} = TRY_CAST(getvariable('{variable}') AS {column_type}), false)"
            shown_value = f"COALESCE(left(CAST({column} AS VARCHAR), 100), 'NULL')"
            cases += (
                f"WHEN NOT ({belongs}) THEN error({literal(f'{_CONTRADICTION}{name}=')} || {shown_value}) "
            )
        first = identifier(kept[0])
        return (
            f"SELECT * EXCLUDE ({', '.join(map(identifier, dropped))}) "
            f"REPLACE (CASE {cases}ELSE {first} END AS {first})"
        )


@contextmanager
def _errors_named(key: str, partition: Mapping[str, Any]) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (
        duckdb.ParserException,
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.ConversionException,
    ) as error:
        raise QueryError(
            f"partition {key}: the query doesn't fit: {error}{_cast_hint(error, partition)}"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise AirflowException(
            f"partition {key}: the query needs more than memory_limit or the scratch folder's disk: raise "
            f"memory_limit, lower threads, or set [mapping_kit] scratch_folder to a larger disk. {error}"
        ) from error
    except duckdb.Error as error:
        _, marker, contradiction = str(error).partition(_CONTRADICTION)
        if marker:
            raise QueryError(
                f"partition {key}: the query returned a row with {contradiction.strip()}, which belongs to "
                f"another partition: filter on it (WHERE ... = $...), or leave the column out or rename it"
            ) from error
        remedy = "check that the sources exist and can be read from this worker"
        if "httpfs" in str(error):
            remedy = "install DuckDB's extension httpfs in the worker's image (INSTALL httpfs)"
        raise AirflowException(f"partition {key}: DuckDB failed, {remedy}. {error}") from error
    except RuntimeError as error:
        # What a signal's handler raised while DuckDB ran (a timeout, a kill) comes back as the cause.
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def _cast_hint(error: Exception, partition: Mapping[str, Any]) -> str:
    message = str(error).lower()
    if "explicit" not in message and "conversion error" not in message:
        return ""
    texts = [name for name in sorted(partition) if isinstance(partition[name], str)]
    names = [name for name in texts if _is_date(partition[name])]
    if names:
        return f"\nA partition's text is VARCHAR: write ${names[0]}::DATE where the query wants a date"
    return (
        f"\nA partition's text is VARCHAR: cast it where the query wants another type, as in ${texts[0]}::INTEGER"
        if texts
        else ""
    )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _without_semicolon(sql: str) -> str:
    """Return `sql` without the semicolon that ends it, so that it can stand in parentheses."""
    import duckdb

    encoded = sql.encode()
    end = len(encoded)
    # DuckDB's own tokens, whose offsets count bytes: comments may follow the semicolon, or hold one.
    for offset, _ in reversed(duckdb.tokenize(sql)):
        if encoded[offset : offset + 1] != b";":
            break
        end = offset
    return encoded[:end].decode()
