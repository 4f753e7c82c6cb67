"""The page *Partitions* in Airflow's own web UI, and the JSON behind it."""

from __future__ import annotations
