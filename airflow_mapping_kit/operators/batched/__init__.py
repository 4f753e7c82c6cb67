"""A function for each item of a batch: the operator, the decorator, and how items are worked on."""

from __future__ import annotations

from airflow_mapping_kit.operators.batched.operator import BatchedOperator, batched

__all__ = ["BatchedOperator", "batched"]
