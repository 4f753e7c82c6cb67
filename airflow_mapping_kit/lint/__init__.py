"""What costs teams their data, found in DAG files as they are written. Standard library only: no Airflow is needed."""

from __future__ import annotations
