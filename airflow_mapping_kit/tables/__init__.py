"""Tables: what instances stage is published in one commit. Here are the tasks that look a table up."""

from __future__ import annotations

from airflow_mapping_kit.tables.lookup import delta_table, ducklake_table, iceberg_table, sql_table

__all__ = ["delta_table", "ducklake_table", "iceberg_table", "sql_table"]
