"""One DAG for every day and for any reload: the trigger form, and the partitions that a run is to load."""

from __future__ import annotations

from airflow_mapping_kit.reload.form import reload_params
from airflow_mapping_kit.reload.operator import reload_partitions

__all__ = ["reload_params", "reload_partitions"]
