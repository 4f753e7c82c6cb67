"""Keys of S3 into a table of Snowflake, once: the operator, and what `COPY INTO` takes and answers."""

from __future__ import annotations

from airflow_mapping_kit.operators.snowflake.operator import S3KeysToSnowflakeOperator

__all__ = ["S3KeysToSnowflakeOperator"]
