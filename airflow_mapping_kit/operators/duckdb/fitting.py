"""How a query's columns get into a file of a table: by name, of the table's types, nothing lost, no row of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import PartitionError, QueryError
from airflow_mapping_kit.operators.duckdb.columns import clock_to_say
from airflow_mapping_kit.operators.duckdb.failures import REFUSED
from airflow_mapping_kit.partitions.hidden import is_hidden
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import identifier, literal
from airflow_mapping_kit.tables.described import column_of, home, near, period_begin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from duckdb import DuckDBPyConnection

    from airflow_mapping_kit.tables.described import Column, Table

# Types of which several texts mean the same value.
_MANY_SPELLINGS = ("TIMESTAMP", "TIME", "DECIMAL", "DOUBLE", "FLOAT")
_WITH_ZONE = "TIMESTAMP WITH TIME ZONE"


class Fitting:
    """A query and the table that its rows are for.

    :param connection: where the query runs
    :param table: as it was looked up
    :param variable: gives the expression of a value: `variable("mapping_kit_dimension_0", "EWR")`
    """

    def __init__(
        self, connection: DuckDBPyConnection, table: Table, variable: Callable[[str, Any], str]
    ) -> None:
        self._connection, self._table, self._variable = connection, table, variable
        # As DESCRIBE of a query writes them, too.
        listed = ", ".join(f"NULL::{column['type']}" for column in table["columns"])
        kinds = [row[1] for row in connection.execute(f"DESCRIBE SELECT {listed}").fetchall()]
        self._kinds = dict(zip((_folded(column) for column in table["columns"]), kinds, strict=True))

    def clause(self, key: str, partition: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[str, str]:
        """Return the SELECT clause that makes a row of the table of each of the query's, and options of the COPY.

        :param columns: the query's, and their types
        :raises QueryError: if they don't fit the table
        :raises PartitionError: if a dimension's value can't be one of its column
        :raises TargetError: if a dimension has no column
        """
        given = {name.lower(): kind for name, kind in columns.items()}
        self._check_names(key, columns)
        tests, values = self._tests(key, partition)
        selected = {}
        for column in self._table["columns"]:
            name = _folded(column)
            if name in given:
                selected[column["name"]] = self._kept(key, column, given[name], tests.get(name, []))
            elif name in values:
                selected[column["name"]] = values[name]
            elif name in tests or column.get("required"):
                why = "a dimension lives in it" if name in tests else "it has to have a value"
                raise QueryError(
                    f"partition {key}: the query doesn't select the column {column['name']!r} of the table "
                    f"{self._table['name']}, and {why}: select it"
                )
        clause = ", ".join(f"{what} AS {identifier(name)}" for name, what in selected.items())
        ids = [
            f"{identifier(column['name'])}: {_field_ids(column['id'])}"
            for column in self._table["columns"]
            if column.get("id") is not None and column["name"] in selected
        ]
        return f"SELECT {clause}", f", FIELD_IDS {{{', '.join(ids)}}}" if ids else ""

    def _check_names(self, key: str, columns: Mapping[str, str]) -> None:
        unknown = [name for name in columns if name.lower() not in self._kinds]
        if unknown:
            names = [column["name"] for column in self._table["columns"]]
            raise QueryError(
                f"partition {key}: the table {self._table['name']} has no column "
                f"{', '.join(f'{name!r}{near(name, names)}' for name in unknown)}: leave it out of the query, name it "
                f"as the table does, or add it to the table"
            )

    def _tests(self, key: str, partition: Mapping[str, Any]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return what has to be so of the columns that dimensions live in, and the values of those who are one.

        Each is by the name of the column: conditions that hold of the rows of other partitions, and expressions.
        """
        tests: dict[str, list[str]] = {}
        values: dict[str, str] = {}
        for number, (dimension, value) in enumerate(partition.items()):
            column = column_of(self._table, dimension)
            name, kind, transform = (
                _folded(column),
                self._kinds[_folded(column)],
                home(self._table, dimension).transform,
            )
            quoted = f"CAST({identifier(column['name'])} AS {kind})"
            if value is None:
                if column.get("required"):
                    raise PartitionError(
                        f"partition {key}: the dimension {dimension!r} is None, and its column {column['name']!r} of "
                        f"the table {self._table['name']} requires a value: leave this partition out of the plan"
                    )
                wanted, seen = f"CAST(NULL AS {kind})", quoted
            elif transform is None:
                wanted, seen = (
                    self._value(key, dimension, kind, f"mapping_kit_dimension_{number}", value),
                    quoted,
                )
            else:
                wanted, seen = self._period(key, dimension, kind, transform, value, quoted)
            tests.setdefault(name, []).append(f"{seen} IS DISTINCT FROM {wanted}")
            if transform is None or value is None:
                values[name] = wanted
        return tests, values

    def _value(self, key: str, dimension: str, kind: str, variable: str, value: Any) -> str:
        """Return the expression of a value as its column has it."""
        given = self._variable(variable, value)
        back = f"CAST(TRY_CAST({given} AS {kind}) AS {'VARCHAR' if isinstance(value, str) else kind})"
        ((missing, same, instead),) = self._connection.execute(
            f"SELECT TRY_CAST({given} AS {kind}) IS NULL, {back} = {given}, CAST({back} AS VARCHAR)"
        ).fetchall()
        if missing:
            raise PartitionError(
                f"partition {key}: {shown(value)} can't be a value of the dimension {dimension!r}: its column is "
                f"of type {kind}"
            )
        if not same and not kind.startswith(_MANY_SPELLINGS):
            raise PartitionError(
                f"partition {key}: {shown(value)} would be {instead} in the column of the dimension {dimension!r}, of "
                f"type {kind}: give it as that"
            )
        return f"TRY_CAST({given} AS {kind})"

    @staticmethod
    def _period(
        key: str, dimension: str, kind: str, transform: str, value: Any, quoted: str
    ) -> tuple[str, str]:
        """Return the begin of a period, and the expression that a row has to have it as."""
        if not kind.startswith(("TIMESTAMP", "DATE")) or (transform == "hour" and kind == "DATE"):
            raise QueryError(
                f"partition {key}: the dimension {dimension!r} is the {transform} of a column of type {kind}, which "
                f"has none: say in dimensions where it lives"
            )
        try:
            begin = period_begin(transform, value)
        except PartitionError as error:
            raise PartitionError(f"partition {key}: the dimension {dimension!r}: {error}") from None
        # Tables count periods by the clock of UTC, whatever that of the query is.
        moment = f"({quoted} AT TIME ZONE 'UTC')" if kind == _WITH_ZONE else quoted
        return f"TIMESTAMP '{begin.isoformat(sep=' ')}'", f"date_trunc('{transform}', {moment}::TIMESTAMP)"

    def _kept(self, key: str, column: Column, given: str, tests: list[str]) -> str:
        """Return the expression of a column of the query as the table has it, which stops at what it can't have."""
        name, kind, quoted = column["name"], self._kinds[_folded(column)], identifier(column["name"])
        cases = []
        if given != kind:
            self._check_type(key, name, given, kind)
            back = f"CAST(CAST({quoted} AS {kind}) AS {given})"
            why = f"which the table's {kind} would change: write CAST({quoted} AS {kind}) if that is meant"
            cases.append(f"WHEN {back} IS DISTINCT FROM {quoted} THEN {_error(name, quoted, why)}")
        why = "which belongs to another partition: filter on it in the WHERE clause, or leave the column out"
        cases += [f"WHEN {test} THEN {_error(name, quoted, why)}" for test in tests]
        if column.get("required"):
            why = "and the table requires a value: leave such rows out, or COALESCE it"
            cases.append(f"WHEN {quoted} IS NULL THEN {_error(name, quoted, why)}")
        cast = quoted if given == kind else f"CAST({quoted} AS {kind})"
        return f"CASE {' '.join(cases)} ELSE {cast} END" if cases else cast

    def _check_type(self, key: str, name: str, given: str, kind: str) -> None:
        fits = f"SELECT can_cast_implicitly(NULL::{given}, NULL::{kind})"
        ((implicit,),) = self._connection.execute(fits).fetchall()
        clock = clock_to_say(identifier(name), given, kind)
        if not implicit or clock:
            cast = clock or f"CAST({identifier(name)} AS {kind})"
            raise QueryError(
                f"partition {key}: the column {name!r} is {given} in the query and {kind} in the table "
                f"{self._table['name']}: write {cast} if that is meant"
            )


def _folded(column: Column) -> str:
    return column["name"].lower()


def _error(name: str, quoted: str, why: str) -> str:
    hidden = is_hidden(name, hidden_names())
    value = "'***'" if hidden else f"COALESCE(left(CAST({quoted} AS VARCHAR), 100), 'NULL')"
    return f"error({literal(f'{REFUSED}the query returned a row with {name}=')} || {value} || {literal(f', {why}')})"


def _field_ids(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{identifier(name)}: {_field_ids(one)}" for name, one in value.items())
        return f"{{{inner}}}"
    return str(int(value))
