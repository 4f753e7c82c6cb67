"""The values of partitions as a Delta log has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.database import expression
from airflow_mapping_kit.tables.described import column_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.tables.described import Table
    from airflow_mapping_kit.tables.staged import Staged

# The values of the table's partition columns, in their order.
Values = tuple[str | None, ...]


def partition_values(table: Table, by: Sequence[str], pieces: Sequence[Staged]) -> dict[str, Values]:
    """Return what the log has of each piece's partition, by its key.

    `{"n": 7, "date": "2013-1-2"}` of a whole number and a date gives `("7", "2013-01-02")`.

    :param by: the partition columns
    :raises TargetError: if the dimensions aren't the partition columns, a value is none of its column, or two pieces
        are the same partition
    """
    columns = {column_of(table, dimension)["name"]: dimension for dimension in pieces[0]["partition"]}
    if set(columns) != set(by):
        raise TargetError(
            f"The Delta table {table['name']} is partitioned by {', '.join(by)}, and the plan's dimensions live in "
            f"{', '.join(columns)}: only whole partitions can be replaced, so they have to be the same"
        )
    kinds = {column["name"]: column["type"] for column in table["columns"]}
    found: dict[str, Values] = {}
    pieces_of: dict[Values, str] = {}
    order = [(columns[column], kinds[column]) for column in by]
    for piece, values in zip(pieces, _texts(table["name"], order, pieces), strict=True):
        if "" in values:
            raise TargetError(
                f"partition {piece['key']}: empty text as a partition is NULL to Delta: use None for 'no value'"
            )
        if values in pieces_of:
            raise TargetError(
                f"the partitions {pieces_of[values]} and {piece['key']} are the same one of the Delta table "
                f"{table['name']}: write their values in one way"
            )
        pieces_of[values] = piece["key"]
        found[piece["key"]] = values
    return found


def text_of(value: Any) -> str | None:
    """Return a value of a partition column, as deltalake gives it, as the log has it: `False` is `false`."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(name: str, order: Sequence[tuple[str, str]], pieces: Sequence[Staged]) -> list[Values]:
    """Convert by DuckDB, as the instances did."""
    import duckdb

    found: list[Values] = []
    with duckdb.connect(":memory:") as connection:
        for piece in pieces:
            values = ", ".join(
                f"CAST(CAST({expression(piece['partition'][dimension])} AS {kind}) AS VARCHAR)"
                for dimension, kind in order
            )
            try:
                (row,) = connection.execute(f"SELECT {values}").fetchall()
            except duckdb.ConversionException as error:
                raise TargetError(
                    f"partition {piece['key']} can't be one of the Delta table {name}: {error}"
                ) from error
            found.append(tuple(row))
    return found
