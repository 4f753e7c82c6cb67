"""Tasks that return a plan: the pieces that Airflow maps over, as JSON."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.generators.base import generator
from airflow_mapping_kit.generators.batches import batches

if TYPE_CHECKING:
    from airflow_mapping_kit.generators.dates import date_range
    from airflow_mapping_kit.generators.failed import failed_of
    from airflow_mapping_kit.generators.files import file_rows
    from airflow_mapping_kit.generators.lake import lake_partitions
    from airflow_mapping_kit.generators.products import product, zipped
    from airflow_mapping_kit.generators.s3 import s3_keys, s3_partitions
    from airflow_mapping_kit.generators.sets import without
    from airflow_mapping_kit.generators.sql import sql_rows

__all__ = [
    "batches",
    "date_range",
    "failed_of",
    "file_rows",
    "generator",
    "lake_partitions",
    "product",
    "s3_keys",
    "s3_partitions",
    "sql_rows",
    "without",
    "zipped",
]

# Airflow imports a DAG file again for every mapped instance: what it doesn't name is not paid for. No module may have
# the name of what it makes: it would stand in its place once somebody imports it.
_WHERE = {
    "date_range": "dates",
    "failed_of": "failed",
    "file_rows": "files",
    "lake_partitions": "lake",
    "product": "products",
    "s3_keys": "s3",
    "s3_partitions": "s3",
    "sql_rows": "sql",
    "without": "sets",
    "zipped": "products",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return what there is, imported yet or not."""
    return sorted({*globals(), *__all__})
