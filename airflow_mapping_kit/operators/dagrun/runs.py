"""Runs of a DAG: their states, starting one, and running again what failed.

Airflow 2 has them in tables that its tasks and triggers can reach, Airflow 3 behind an API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AIRFLOW_3

if TYPE_CHECKING or not AIRFLOW_3:
    from airflow_mapping_kit.operators.dagrun.child import Child
    from airflow_mapping_kit.operators.dagrun.in_tables import (
        failed_tasks,
        has_triggerer,
        is_paused,
        restart,
        start,
        states,
        tally,
    )
else:
    from airflow_mapping_kit.operators.dagrun.by_api import (
        Child,
        failed_tasks,
        has_triggerer,
        is_paused,
        restart,
        start,
        states,
        tally,
    )

__all__ = ["Child", "failed_tasks", "has_triggerer", "is_paused", "restart", "start", "states", "tally"]
