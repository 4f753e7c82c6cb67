"""Look a Delta table up, once for all instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.delta.columns import columns
from airflow_mapping_kit.tables.delta.opened import location, opened
from airflow_mapping_kit.tables.delta.refused import check_writable
from airflow_mapping_kit.tables.described import near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.tables.described import Home, Table

# What every engine writes alike as the text that a Delta log has of a partition.
_TOLD_ALIKE = {"VARCHAR", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "BOOLEAN", "DATE"}


def look(
    *,
    name: str,
    aws_conn_id: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    homes: Mapping[str, Home],
) -> Table:
    """Look a table up. The dimensions have to be its partition columns: what is replaced are whole partitions.

    :raises TargetError: if there is no such table, it can't be published to, or a dimension isn't a partition of it
    """
    table = opened(name, aws_conn_id, storage_options)
    check_writable(name, table)
    found: dict[str, Any] = {
        "mapping_kit_table": "delta",
        "name": name,
        "conn_id": None,
        "aws_conn_id": aws_conn_id or None,
        "storage_options": dict(storage_options or {}),
        "location": location(table),
        "columns": columns(table),
        "partitioned_by": table.metadata().partition_columns,
        "id": str(table.metadata().id),
    }
    check_partitions(found, homes)
    return found  # type: ignore[return-value]


def check_partitions(table: Mapping[str, Any], homes: Mapping[str, Home]) -> None:
    """Check the partition columns, and that dimensions whose home is known live in them.

    :raises TargetError: naming the column, or the dimension
    """
    name, by = table["name"], table["partitioned_by"]
    listed = ", ".join(by)
    if not by:
        raise TargetError(
            f"The Delta table {name} isn't partitioned, so its files hold rows of many partitions, and only whole "
            f"files can be replaced: partition it by the plan's dimensions"
        )
    kinds = {column["name"]: column["type"] for column in table["columns"]}
    for column in by:
        if kinds[column] not in _TOLD_ALIKE:
            raise TargetError(
                f"The Delta table {name} is partitioned by {column}, a {kinds[column]}. Each engine writes "
                f"such values in another way: partition it by text, a whole number, a boolean or a date"
            )
    for dimension, home in homes.items():
        if home.transform is not None:
            raise TargetError(
                f"the dimension {dimension!r} lives in {home.transform}({home.column}), and Delta tables are "
                f"partitioned by columns alone ({name}: {listed}): give it a column, a generated one won't do"
            )
        if home.column.lower() not in {column.lower() for column in by}:
            raise TargetError(
                f"the dimension {dimension!r} lives in the column {home.column!r}, and the Delta table {name} "
                f"isn't partitioned by that{near(home.column, by)}, but by {listed}"
            )
