"""The rows of one partition: those that a table holds, and those that a query gives for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, hidden_names
from airflow_mapping_kit.exceptions import MappingKitError, QueryError, TargetError
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.described import near
from airflow_mapping_kit.tables.sql.narrowed import narrowed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.query import Query
    from airflow_mapping_kit.tables.sql.session import Session

# What stands for a dimension's value has a name that no parameter of a query has.
_VALUE = "mapping_kit_value_{}"
# INTEGER, DECIMAL(10, 2), TIMESTAMP WITH TIME ZONE, TEXT[]
_TYPE = re.compile(r"[A-Za-z_]\w*(?: \w+)*(?:\(\d+(?:, ?\d+)?\))?(?: \w+)*(?:\[\])*")


@dataclass(frozen=True)
class Slot:
    """Where a partition's rows are in a table.

    :param key: of the partition, for errors
    :param partition: its dimensions
    :param columns: which column each dimension is, as the table spells it
    :param bound: what stands in SQL for each dimension's value
    :param values: the values of those
    """

    key: str
    partition: Mapping[str, Any]
    columns: Mapping[str, str]
    bound: Mapping[str, str]
    values: Mapping[str, Any]

    def condition(self, session: Session, columns: Mapping[str, str] | None = None) -> str:
        """Return what is true of the partition's rows, and of no others.

        :param columns: which column each dimension is, where it isn't the table that is asked
        """
        return " AND ".join(
            f"{session.quoted(column)} IS NULL"
            if self.partition[name] is None
            else f"{session.quoted(column)} = {self.bound[name]}"
            for name, column in (columns or self.columns).items()
        )


def slot(
    session: Session,
    key: str,
    partition: Mapping[str, Any],
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
) -> Slot:
    """Return where a partition's rows are.

    :param columns: which column each dimension is
    :param types: what a dimension's value is cast to
    """
    values = {_VALUE.format(number): value for number, value in enumerate(partition.values())}
    bound = {}
    for name, place in zip(partition, values, strict=True):
        bound[name] = session.value(place)
        if types and name in types:
            bound[name] = f"CAST({bound[name]} AS {types[name]})"
    # Of NULL the condition says it without a value, and a driver may take no value that isn't asked for.
    given = {place: value for place, value in values.items() if value is not None}
    bound = {name: "NULL" if partition[name] is None else by for name, by in bound.items()}
    return Slot(key, partition, {name: columns[name] for name in partition}, bound, given)


def check_types(types: Mapping[str, str] | None) -> None:
    """Check that what dimensions are cast to are names of types: they become part of the SQL.

    :raises QueryError: naming the one that isn't
    """
    for name, type_name in (types or {}).items():
        if not isinstance(type_name, str) or not _TYPE.fullmatch(type_name):
            raise QueryError(
                f"types: {name!r}: {type_name!r} is no type: write such as 'DATE' or 'DECIMAL(10, 2)'"
            )


def columns_of(
    partition: Mapping[str, Any], actual: Collection[str], table: str, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return which column of a table each dimension is, as the table spells it.

    :param actual: the table's columns
    :param given: what was said of dimensions that are not the column of their name
    :raises TargetError: if one has no column, with names that are near
    """
    found = {}
    for name in partition:
        wanted = (given or {}).get(name, name)
        column = spelled(wanted, actual)
        if column is None:
            raise TargetError(
                f"the table {table} has no column {wanted!r} for the dimension {name!r}{near(wanted, actual)}: it has "
                f"{', '.join(actual)}"
            )
        found[name] = column
    if len(set(found.values())) < len(found):
        raise TargetError(
            f"two dimensions of {shown(dict(partition))} are the same column of the table {table}"
        )
    return found


def spelled(name: str, columns: Collection[str]) -> str | None:
    """Return a column as the table spells it: by its very name, else without regard to case, if just one is."""
    if name in columns:
        return name
    alike = [column for column in columns if column.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


@dataclass(frozen=True)
class Incoming:
    """The rows that a query gives for a partition.

    :param columns: of the table, that they have values for
    :param chosen: the expressions for these
    :param values: of the parameters in them and in the query
    :param source: the query as a table
    :param dimensions: those that the query returns, and by which column
    """

    columns: list[str]
    chosen: list[str]
    values: dict[str, Any]
    source: str
    dimensions: dict[str, str]

    def insertion(self, session: Session, into: TableName, **more: str) -> str:
        """Return what inserts the rows into a table.

        :param into: its name
        :param more: other columns, and the expressions for them
        """
        columns = session.quoted(*self.columns, *more)
        chosen = ", ".join([*self.chosen, *more.values()])
        return f"INSERT INTO {into} ({columns}) SELECT {chosen} FROM {self.source}"


def incoming(session: Session, query: Query, where: Slot, actual: Mapping[str, Any], table: str) -> Incoming:
    """Fit a query to a partition and a table, by the columns' names. A dimension that it doesn't return is a constant.

    :param actual: the table's columns, and their types
    :raises QueryError: if it doesn't fit
    """
    wanted = query.bind(where.key, where.partition)
    source = f"(\n{query.text}\n) mapping_kit_rows"
    what = f"partition {where.key}: the query"
    returned = session.columns(what, source, wanted)
    into = []
    for name, kind in returned:
        column = spelled(name, actual)
        if column is None:
            raise QueryError(
                f"{what} returns the column {name!r}, which the table {table} doesn't have{near(name, actual)}: leave "
                f"it out, or give it an alias. The table has {', '.join(actual)}"
            )
        if column in into:
            raise QueryError(f"{what} returns the column {name!r} twice: give one an alias")
        if session.dialect.is_postgres and (changed := narrowed(kind, actual[column])):
            source_type, column_type = changed
            raise QueryError(
                f"{what} returns {name!r} as {source_type}, and in the table {table} it is {column_type}, which would "
                f"change values: write CAST({name} AS {column_type}) AS {name} if that is meant"
            )
        into.append(column)
    chosen = [session.quoted(name) for name, _ in returned]
    own = dict(zip(into, (name for name, _ in returned), strict=True))
    for name, column in where.columns.items():
        if column not in into:
            into.append(column)
            chosen.append(where.bound[name])
    if len(into) == len(where.columns):
        raise QueryError(f"{what} returns only dimensions: select at least one other column")
    dimensions = {name: own[column] for name, column in where.columns.items() if column in own}
    return Incoming(into, chosen, {**wanted, **where.values}, source, dimensions)


def strangers(session: Session, where: Slot, rows: Incoming, number: int, among: int) -> QueryError:
    """Return the error for rows that belong to other partitions, with one of them if it can be found."""
    example = ""
    if rows.dimensions:
        own, mine = session.quoted(*rows.dimensions.values()), where.condition(session, rows.dimensions)
        look = f"SELECT {own} FROM {rows.source} WHERE CASE WHEN {mine} THEN 0 ELSE 1 END = 1 LIMIT 1"
        try:
            found = session.rows("a row of another partition", look, rows.values)
        except (AirflowException, MappingKitError):
            found = []
        for row in found:
            told = hide(dict(zip(rows.dimensions, map(str, row), strict=True)), hidden_names())
            example = f", such as {', '.join(f'{name}={value}' for name, value in told.items())}"
    filled = {name: value for name, value in where.partition.items() if name not in rows.dimensions}
    if filled and not example:
        told = hide({name: str(value) for name, value in filled.items()}, hidden_names())
        name = next(iter(filled))
        return QueryError(
            f"partition {where.key}: {', '.join(f'{one}={value}' for one, value in told.items())} is another value "
            f"in the table: the column's type or a trigger changes it. Write the value as the table keeps it, or give "
            f"the column's type, such as types={{{name!r}: 'REAL'}}"
        )
    return QueryError(
        f"partition {where.key}: {number:,} of the query's {among:,} rows belong to other partitions{example}: filter "
        f"them out in its WHERE"
    )
