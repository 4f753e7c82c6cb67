"""The columns of a Delta table as DuckDB writes their types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.database import identifier

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from airflow_mapping_kit.tables.described import Column

_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
}


def columns(table: DeltaTable) -> list[Column]:
    """Return a table's columns.

    :raises TargetError: naming a column whose type the kit doesn't know
    """
    fields = json.loads(table.schema().to_json())["fields"]
    return [
        {"name": one["name"], "type": _type(one["name"], one["type"]), "required": not one["nullable"]}
        for one in fields
    ]


def _type(column: str, kind: Any) -> str:
    """Return a type as DuckDB has it: `{"type": "array", "elementType": "integer"}` is `INTEGER[]`."""
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    if isinstance(kind, str) and kind.startswith("decimal("):
        return kind.upper()
    if isinstance(kind, dict) and kind["type"] == "array":
        return f"{_type(column, kind['elementType'])}[]"
    if isinstance(kind, dict) and kind["type"] == "map":
        return f"MAP({_type(column, kind['keyType'])}, {_type(column, kind['valueType'])})"
    if isinstance(kind, dict) and kind["type"] == "struct":
        parts = (f"{identifier(one['name'])} {_type(column, one['type'])}" for one in kind["fields"])
        return f"STRUCT({', '.join(parts)})"
    raise TargetError(f"the column {column!r} is of Delta's type {kind}, which the kit can't write to a file")
