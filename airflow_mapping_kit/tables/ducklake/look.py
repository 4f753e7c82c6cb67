"""Look a table of a DuckLake up, once for all instances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.keys import escape
from airflow_mapping_kit.tables.ducklake.attached import attached, errors_named
from airflow_mapping_kit.tables.ducklake.found import found_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.tables.described import Column, Home, Table
    from airflow_mapping_kit.tables.ducklake.found import Found

# What a Parquet file, as DuckDB writes it, has as another type, or not wholly. Names of fields are quoted.
_NOT_IN_FILES = re.compile(
    r'"(?:[^"]|"")*"|\b(U?HUGEINT|TIME WITH TIME ZONE|INTERVAL|GEOMETRY|VARIANT|BIT|BIGNUM)\b'
)


def look(*, name: str, conn_id: str, aws_conn_id: str | None = None, homes: Mapping[str, Home]) -> Table:
    """Look a table up.

    :raises TargetError: if there is no such table, or nothing could be published to it
    """
    with (
        attached(conn_id, aws_conn_id) as lake,
        errors_named(f"The DuckLake table {name} can't be looked up"),
    ):
        found = found_table(lake, name)
    check_types(name, found.columns)
    table: dict[str, Any] = {
        "mapping_kit_table": "ducklake",
        "name": f"{found.schema}.{found.name}",
        "conn_id": conn_id,
        "aws_conn_id": aws_conn_id or None,
        "location": found.location,
        "columns": found.columns,
        "hive": partitioned_by(name, found),
        "uuid": found.uuid,
    }
    for dimension, home in homes.items():
        if home.transform and home.column.lower() in {column.lower() for column in table["hive"]}:
            raise TargetError(
                f"the dimension {dimension!r} lives in {home.transform}({home.column}), and the DuckLake table {name} "
                f"is partitioned by {home.column} itself: its files have to be of one partition. Have a dimension of "
                f"that column, or don't partition the table by it"
            )
    return table  # type: ignore[return-value]


def check_types(name: str, columns: Sequence[Column]) -> None:
    """Check that a file can have what the table has.

    :raises TargetError: naming a column that it can't, and what to make of it
    """
    for column in columns:
        kinds = [match[1] for match in _NOT_IN_FILES.finditer(column["type"]) if match[1]]
        if kinds:
            raise TargetError(
                f"the column {column['name']!r} of the DuckLake table {name} is of type {column['type']}, and a file "
                f"that is added to a DuckLake can't hold a {kinds[0]}: make it another, such as VARCHAR"
            )


def partitioned_by(name: str, found: Found) -> list[str]:
    """Return the columns that a table is partitioned by.

    :raises TargetError: if it isn't by columns alone, or its location would be taken for a partition
    """
    for column, transform in found.by:
        if transform != "identity":
            raise TargetError(
                f"The DuckLake table {name} is partitioned by {transform}({column}), and for added files "
                f"DuckLake (1.0) writes such partitions down wrongly: partition it by columns alone, or by nothing. "
                f"Readers then skip as many files, because each staged file is of one partition"
            )
        if escape(column) != column:
            raise TargetError(
                f"The DuckLake table {name} is partitioned by {column!r}, and DuckLake reads no column of that name "
                f"from a directory's: rename it, or don't partition the table by it"
            )
    names = {column["name"].lower() for column in found.columns}
    for part in found.location.split("/"):
        if found.by and part.partition("=")[0].lower() in names and "=" in part:
            raise TargetError(
                f"The DuckLake table {name} has its files below {part!r}, from which its column would be taken: "
                f"don't partition the table, or have it elsewhere"
            )
    return [column for column, _ in found.by]
