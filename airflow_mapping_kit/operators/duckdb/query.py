"""One query over one partition: its parameters bound, its rows streamed into a Parquet file by DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb.columns import stored
from airflow_mapping_kit.operators.duckdb.copying import Copying
from airflow_mapping_kit.operators.duckdb.failures import REFUSED, duckdb_errors_named
from airflow_mapping_kit.operators.duckdb.fitting import Fitting
from airflow_mapping_kit.operators.duckdb.paths import check_paths, path_parameters
from airflow_mapping_kit.operators.duckdb.schema import Schema
from airflow_mapping_kit.operators.duckdb.written import Written, written
from airflow_mapping_kit.partitions.hidden import is_hidden
from airflow_mapping_kit.partitions.parameters import PeriodOf
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import expression, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_mapping_kit.tables.described import Table


@dataclass(frozen=True)
class Selection:
    """A query that was fitted to one partition: its SQL, and the arguments that DuckDB binds to it."""

    key: str
    partition: Mapping[str, Any]
    sql: str
    arguments: str
    options: str = ""


class PartitionQuery:
    """One `SELECT` whose named parameters are a partition's dimensions, and values that all partitions share.

    :param connection: where it runs
    :param sql: the query; `$name` stands for the value of dimension `name`
    :param shared: parameters that are no dimensions, and their values
    :param unused: dimensions that the query need not use
    :param table: the table that its rows are for, if for one: then the file has all columns
    :param period: which dimension the period is whose bounds `$start` and `$end` are
    :param copying: how they are written
    :param schema: the columns that the file is to have, where an author has said
    :raises QueryError: if the text isn't exactly one `SELECT`
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        sql: str,
        shared: Mapping[str, Any] | None = None,
        unused: Collection[str] = (),
        table: Table | None = None,
        copying: Copying = Copying(),  # noqa: B008  it can't change
        schema: Mapping[str, str] | None = None,
        period: PeriodOf = PeriodOf(),  # noqa: B008  it can't change
    ) -> None:
        import duckdb

        self._connection = connection
        self._period = period
        self._shared = dict(shared or {})
        self._unused = frozenset(unused)
        try:
            statements = connection.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(f"DuckDB can't read the query: {error}") from error
        found = [statement.type.name for statement in statements]
        if found != ["SELECT"]:
            raise QueryError(
                f"the query has to be exactly one SELECT, not {', '.join(found) or 'nothing'}: {shown(sql)}"
            )
        self._text = _without_semicolon(statements[0].query)
        self._parameters = frozenset(statements[0].named_parameters)
        self._in_paths = path_parameters(connection, self._text)
        self._fitting = None if table is None else Fitting(connection, table, self._variable)
        self._schema = None if schema is None else Schema(connection, schema)
        # Tables are written once and read often, and all their engines read it.
        self._copying, self._compression = copying, None if table is None else "zstd"

    def bind(self, key: str, partition: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the query's parameters, without running anything.

        `{"origin": "EWR", "date": "2013-01-01"}` gives itself for a query with `$origin` and `$date`.

        :raises QueryError: if the partition lacks a parameter, the query forgets a dimension, or one that it
            makes a path of could stand for other files
        """
        values: dict[str, Any] = {}
        for name, value in [*self._shared.items(), *partition.items()]:
            # DuckDB's names, of parameters as of columns, don't tell upper from lower case.
            if name.lower() in values:
                raise QueryError(
                    f"partition {key}: {name!r} is there twice, case apart, among the dimensions "
                    f"({_listed(partition)}) and the parameters ({_listed(self._shared)}): rename one"
                )
            values[name.lower()] = value
        used = {parameter.lower() for parameter in self._parameters}
        if bounds := self._period.bounds(key, partition, used, values):
            values.update(bounds)
            used.add(self._period.dimension.lower())
        for parameter in sorted(self._parameters):
            if parameter.lower() not in values:
                raise QueryError(
                    f"partition {key}: the query asks for ${parameter}, which is none of its dimensions "
                    f"({_listed(partition)}): use one of these, or add it to the partition or to parameters"
                )
        for name in sorted(partition):
            if name.lower() not in used and name not in self._unused:
                raise QueryError(
                    f"partition {key}: the query doesn't use the dimension {name!r}, so each of its values "
                    f"would get the same rows: use ${name} in WHERE, or list it in unused=[{name!r}]"
                )
        check_paths(key, partition, self._in_paths)
        return {parameter: values[parameter.lower()] for parameter in sorted(self._parameters)}

    def select(self, key: str, partition: Mapping[str, Any]) -> Selection:
        """Fit the query to a partition and to the sources as they are, without reading their rows.

        :raises QueryError: if it doesn't fit, returns nothing but dimensions, or a type that Parquet changes
        :raises AirflowException: if a source isn't there
        """
        with duckdb_errors_named(key, partition):
            arguments = []
            for number, (parameter, value) in enumerate(self.bind(key, partition).items()):
                variable = self._variable(f"mapping_kit_parameter_{number}", value)
                arguments.append(f"{identifier(parameter)} := {variable}")
            bound = f"({', '.join(arguments)})" if arguments else ""
            describe = f"DESCRIBE SELECT * FROM (\n{self._text}\n)"  # noqa: S608  the user's own query
            described = self._execute(describe, bound)
            columns = {name: column_type for name, column_type, *_ in described}
            clause, options = (
                (self._clause(key, partition, columns), "")
                if self._fitting is None
                else self._fitting.clause(key, partition, columns)
            )
        return Selection(key, partition, f"{clause} FROM (\n{self._text}\n)", bound, options)

    def write(self, selection: Selection, path: Path) -> list[Written]:
        """Write the selected rows to `path`, a file or an empty directory, as Parquet, and return the files.

        :raises QueryError: if a value can't be converted, or a row belongs to another partition
        :raises AirflowException: if reading or writing failed in a way that may pass
        """
        copy = (
            f"COPY ({selection.sql}) TO {literal(str(path))} "
            f"(FORMAT parquet, {self._copying.options(self._compression)}{selection.options})"
        )
        with duckdb_errors_named(selection.key, selection.partition):
            ((rows,),) = self._execute(copy, selection.arguments)
            return written(self._connection, path, int(rows))

    def _execute(self, sql: str, arguments: str) -> list[Any]:
        self._connection.execute(f"PREPARE mapping_kit AS {sql}")
        return self._connection.execute(f"EXECUTE mapping_kit{arguments}").fetchall()

    def _variable(self, name: str, value: Any) -> str:
        if value is None:
            # As a literal it takes the type of what it is compared with; a variable would make it an INTEGER.
            return "NULL"
        self._connection.execute(f"SET VARIABLE {name} = {expression(value)}")
        return f"getvariable('{name}')"

    def _clause(self, key: str, partition: Mapping[str, Any], columns: Mapping[str, str]) -> str:
        """Return the SELECT clause that drops the dimensions, and stops at a row of another partition.

        The comparison is part of a column that is kept, not of a WHERE: filters are moved into the query,
        where they would see rows that the query itself drops.
        """
        dimensions = {name.lower(): value for name, value in partition.items()}
        dropped = {name: column_type for name, column_type in columns.items() if name.lower() in dimensions}
        kept = {name: column_type for name, column_type in columns.items() if name not in dropped}
        if not kept:
            raise QueryError(
                f"partition {key}: the query returns only dimensions ({_listed(dropped)}), which live in the "
                f"path, so nothing is left to store: select at least one other column"
            )
        replaced: dict[str, str | None] = (
            {name: stored(key, name, column_type) for name, column_type in kept.items()}
            if self._schema is None
            else {**self._schema.selected(key, dimensions, kept)}
        )
        if dropped:
            cases = [
                self._case(number, name, column_type, dimensions[name.lower()])
                for number, (name, column_type) in enumerate(dropped.items())
            ]
            first = next(iter(replaced))
            replaced[first] = f"CASE {' '.join(cases)} ELSE {replaced[first] or identifier(first)} END"
        if self._schema is not None:
            return f"SELECT {', '.join(f'{by} AS {identifier(name)}' for name, by in replaced.items())}"
        excluded = f" EXCLUDE ({', '.join(map(identifier, dropped))})" if dropped else ""
        instead = [f"{by} AS {identifier(name)}" for name, by in replaced.items() if by is not None]
        replace = f" REPLACE ({', '.join(instead)})" if instead else ""
        return f"SELECT *{excluded}{replace}"

    def _case(self, number: int, name: str, column_type: str, value: Any) -> str:
        """Return the part of a CASE that stops at a row whose dimension hasn't the partition's value."""
        column = identifier(name)
        if value is None:
            belongs = f"{column} IS NULL"
        else:
            variable = self._variable(f"mapping_kit_dimension_{number}", value)
            belongs = f"COALESCE({column} = TRY_CAST({variable} AS {column_type}), false)"
        before = f"{REFUSED}the query returned a row with {name}="
        after = (
            ", which belongs to another partition: filter on it in the WHERE clause, or leave the column out or "
            "rename it"
        )
        hidden = is_hidden(name, hidden_names())
        offending = "'***'" if hidden else f"COALESCE(left(CAST({column} AS VARCHAR), 100), 'NULL')"
        return f"WHEN NOT {belongs} THEN error({literal(before)} || {offending} || {literal(after)})"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


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
