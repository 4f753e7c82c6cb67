"""One partition of a table in a database, replaced by the rows of a query."""

from __future__ import annotations

from airflow_mapping_kit.operators.sql.operator import SQLPartitionOperator

__all__ = ["SQLPartitionOperator"]
