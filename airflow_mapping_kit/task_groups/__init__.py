"""Pipelines of several tasks over every piece."""

from __future__ import annotations

from airflow_mapping_kit.task_groups.s3_to_snowflake import s3_to_snowflake

__all__ = ["s3_to_snowflake"]
