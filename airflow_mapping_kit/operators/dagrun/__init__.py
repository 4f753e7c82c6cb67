"""Runs of another DAG, one an item: the operator, what runs are called, starting them, waiting for them."""

from __future__ import annotations

from airflow_mapping_kit.operators.dagrun.operator import TriggerDagRunPerItemOperator

__all__ = ["TriggerDagRunPerItemOperator"]
