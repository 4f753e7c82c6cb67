"""One partition into a lake of Parquet files by DuckDB: the operator, its query, targets and scratch space."""

from __future__ import annotations

from airflow_mapping_kit.operators.duckdb.operator import DuckDBPartitionOperator

__all__ = ["DuckDBPartitionOperator"]
