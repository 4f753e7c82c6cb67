"""Find mistakes in DAG files that lose data. Standard library only: Airflow is not needed."""

from __future__ import annotations
