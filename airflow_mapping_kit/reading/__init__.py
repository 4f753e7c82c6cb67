"""What Airflow keeps of a run, instances and XComs, read from its tables or through a task's supervisor."""

from __future__ import annotations
