"""Partitions, labels and safe operators for Airflow's dynamic task mapping.

Data goes partitions → generators → operators; every module below is importable on its own.
"""

from __future__ import annotations

__version__ = "0.1.0"
