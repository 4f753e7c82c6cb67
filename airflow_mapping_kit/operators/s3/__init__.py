"""Objects moved from one place of S3 to another: the operator, what goes where, and each single move."""

from __future__ import annotations

from airflow_mapping_kit.operators.s3.operator import S3MoveKeysOperator

__all__ = ["S3MoveKeysOperator"]
