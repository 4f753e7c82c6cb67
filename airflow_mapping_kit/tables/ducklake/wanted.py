"""The partitions that are to be replaced, as a table of the DuckDB that replaces them, and the rows that are theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.database import expression, identifier
from airflow_mapping_kit.tables.described import column_of, home, period_begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.tables.described import Table
    from airflow_mapping_kit.tables.ducklake.attached import Lake
    from airflow_mapping_kit.tables.staged import Staged

_WITH_ZONE = "TIMESTAMP WITH TIME ZONE"


class _Place:
    """Where a dimension lives: the type of its values, and the expression of them in the table."""

    def __init__(self, table: Table, dimension: str) -> None:
        column, self.transform = column_of(table, dimension), home(table, dimension).transform
        self.dimension = dimension
        self.column = identifier(column["name"])
        # What the bounds are compared with: the periods themselves begin and end by the clock of UTC.
        moment = f"({self.column} AT TIME ZONE 'UTC')" if column["type"] == _WITH_ZONE else self.column
        self.kind = "TIMESTAMP" if self.transform else column["type"]
        self.seen = f"date_trunc('{self.transform}', {moment}::TIMESTAMP)" if self.transform else self.column
        self.with_zone = column["type"] == _WITH_ZONE

    def value(self, given: Any) -> str:
        """Return a partition's value as an expression of that type."""
        if self.transform and given is not None:
            given = period_begin(self.transform, given).isoformat(sep=" ")
        return f"CAST({expression(given)} AS {self.kind})"


def theirs(lake: Lake, table: Table, pieces: Sequence[Staged]) -> str:
    """Return the condition that holds of the rows of these partitions, and make what it needs.

    The least and the greatest value of each dimension stand in it, so that only files that may have some are read.

    :raises TargetError: if two pieces are the same partition
    """
    places = [_Place(table, dimension) for dimension in pieces[0]["partition"]]
    names = [f"w{number}" for number in range(len(places))]
    rows = ", ".join(
        f"({', '.join([expression(piece['key']), *(one.value(piece['partition'][one.dimension]) for one in places)])})"
        for piece in pieces
    )
    lake.rows(
        f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT * FROM (VALUES {rows}) AS wanted(key, {', '.join(names)})"  # noqa: S608
    )
    same = lake.rows(f"SELECT list(key) FROM wanted GROUP BY {', '.join(names)} HAVING count(*) > 1 LIMIT 1")  # noqa: S608
    for (keys,) in same:
        raise TargetError(
            f"the partitions {' and '.join(keys)} are the same one of the table {table['name']}: write their values in "
            f"one way"
        )
    matches = " AND ".join(
        f"{one.seen} IS NOT DISTINCT FROM {name}" for one, name in zip(places, names, strict=True)
    )
    bounds = [bound for one, name in zip(places, names, strict=True) for bound in _bounds(lake, one, name)]
    return " AND ".join([*bounds, f"EXISTS (SELECT 1 FROM wanted WHERE {matches})"])  # noqa: S608


def _bounds(lake: Lake, place: _Place, name: str) -> list[str]:
    if lake.one(f"SELECT bool_or({name} IS NULL) FROM wanted"):  # noqa: S608
        return []
    after = f" + INTERVAL 1 {place.transform}" if place.transform else ""
    zone = " AT TIME ZONE 'UTC'" if place.transform and place.with_zone else ""
    for variable, bound in (("least", "min"), ("most", "max")):
        value = f"{bound}({name}){after if bound == 'max' else ''}"
        lake.rows(f"SET VARIABLE {variable}_{name} = (SELECT ({value}){zone} FROM wanted)")  # noqa: S608
    upper = "<" if place.transform else "<="
    return [
        f"{place.column} >= getvariable('least_{name}')",
        f"{place.column} {upper} getvariable('most_{name}')",
    ]
