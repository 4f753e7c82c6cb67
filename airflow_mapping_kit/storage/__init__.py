"""Files and objects outside Airflow: where they are, and how they are written whole."""

from __future__ import annotations
