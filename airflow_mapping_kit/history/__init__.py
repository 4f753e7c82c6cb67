"""What became of partitions over runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.history.states import LETTERS

if TYPE_CHECKING:
    from airflow_mapping_kit.history.found import Attempt, History
    from airflow_mapping_kit.history.over_runs import history

__all__ = ["LETTERS", "Attempt", "History", "history"]

_MODULES = {"Attempt": "found", "History": "found", "history": "over_runs"}


def __getattr__(name: str) -> Any:
    """Import what reads tables when it is asked for: the command line reads answers of a page without Airflow."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
