"""The names that OpenLineage has for the tables that are published in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.lineage.datasets import Lineage, dataset_of_table
from airflow_mapping_kit.tables.described import table_of

if TYPE_CHECKING:
    from airflow_mapping_kit.lineage.datasets import Dataset


def published(given: Any, version: Any = None) -> Lineage:
    """Return a table as what is written into; nothing of what is no table.

    :param given: what `iceberg_table(...)` and the like return
    :param version: the snapshot, if one was just made
    """
    table = table_of(given)
    if table is None:
        return Lineage()
    if table["mapping_kit_table"] != "sql":
        return Lineage(outputs=[dataset_of_table(table, version)])
    return Lineage(outputs=[of_database(str(table["conn_id"]), table["name"])])


def of_database(conn_id: str, name: str, database: Any = None) -> Dataset:
    """Return the dataset of a table in a database.

    :param name: as SQL has it
    :param database: that of the connection, if it is there already
    """
    from airflow_mapping_kit.lineage.databases import Database
    from airflow_mapping_kit.tables.sql.dialects import dialect_of
    from airflow_mapping_kit.tables.sql.names import table_name

    database = database or Database(conn_id)
    found: Dataset = database.table(table_name(name, dialect_of(conn_id, database.type)).parts)
    return found
