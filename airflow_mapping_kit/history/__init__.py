"""What became of partitions over runs."""

from __future__ import annotations

from airflow_mapping_kit.history.found import Attempt, History
from airflow_mapping_kit.history.over_runs import history
from airflow_mapping_kit.history.states import LETTERS

__all__ = ["LETTERS", "Attempt", "History", "history"]
