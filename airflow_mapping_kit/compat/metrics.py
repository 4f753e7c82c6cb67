"""Airflow's metrics."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def count(name: str, tags: Mapping[str, str]) -> None:
    """Add one to a counter, in a process of Airflow's own."""
    # Airflow 3 calls the old place deprecated; the functions were those of a class before 3.3.
    new = find_spec("airflow.observability") is not None
    stats: Any = import_module("airflow.observability.stats" if new else "airflow.stats")
    (stats if hasattr(stats, "incr") else stats.Stats).incr(name, tags=dict(tags))
