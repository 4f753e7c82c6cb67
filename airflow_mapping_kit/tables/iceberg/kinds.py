"""The types of Iceberg's columns as DuckDB has them, and the ids that it writes into files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.database import identifier

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    from airflow_mapping_kit.tables.described import Column

_NAMES = {
    "binary": "BLOB",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "double": "DOUBLE",
    "float": "FLOAT",
    "int": "INTEGER",
    "long": "BIGINT",
    "string": "VARCHAR",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "uuid": "UUID",
}
# In DuckDB's FIELD_IDS the id of what holds others.
_OWN = "__duckdb_field_id"


def columns_of(schema: Schema, name: str) -> list[Column]:
    """Return a table's columns as DuckDB writes them.

    :param name: of the table, for errors
    :raises TargetError: naming a column whose type DuckDB doesn't write

    Example: `id: required long` gives `{"name": "id", "type": "BIGINT", "required": True, "id": 1}`.
    """
    return [_column(field, name) for field in schema.fields]


def _column(field: NestedField, table: str) -> Column:
    try:
        kind, ids = _duckdb(field.field_type, field.field_id)
    except KeyError as error:
        raise TargetError(
            f"the column {field.name!r} of the table {table} is of the type {field.field_type}, and DuckDB writes no "
            f"{error.args[0]} in the form that Iceberg needs: the kit can't fill this table"
        ) from error
    return {"name": field.name, "type": kind, "required": field.required, "id": ids}


def _duckdb(kind: Any, field_id: int) -> tuple[str, Any]:
    if kind.is_struct:
        each = {field.name: _duckdb(field.field_type, field.field_id) for field in kind.fields}
        inner = ", ".join(f"{identifier(name)} {text}" for name, (text, _) in each.items())
        return f"STRUCT({inner})", {_OWN: field_id, **{name: ids for name, (_, ids) in each.items()}}
    if hasattr(kind, "element_type"):
        text, ids = _duckdb(kind.element_type, kind.element_id)
        return f"{text}[]", {_OWN: field_id, "element": ids}
    if hasattr(kind, "key_type"):
        (key, key_ids), (value, ids) = (
            _duckdb(kind.key_type, kind.key_id),
            _duckdb(kind.value_type, kind.value_id),
        )
        return f"MAP({key}, {value})", {_OWN: field_id, "key": key_ids, "value": ids}
    if hasattr(kind, "precision"):
        return f"DECIMAL({kind.precision},{kind.scale})", field_id
    return _NAMES[str(kind)], field_id
