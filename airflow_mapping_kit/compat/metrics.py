"""Airflow's metrics."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat.parts import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Mapping


def count(name: str, tags: Mapping[str, str], number: int = 1, *, in_task: bool = False) -> None:
    """Add to a counter.

    :param in_task: whether this is the process of a task, which of Airflow 3 has metrics of its own; else one of the
        scheduler and the like.
    """
    _stats(in_task).incr(name, number, tags=dict(tags))


def metrics_on() -> bool:
    """Tell whether Airflow's metrics go anywhere."""
    from airflow.configuration import conf

    options = ("statsd_on", "statsd_datadog_enabled", "otel_on")
    return any(conf.getboolean("metrics", option, fallback=False) for option in options)


def named_by_place() -> bool:
    """Tell whether metrics have names with DAG and task in them, too: on Airflow 3 where its older names are on."""
    if not AIRFLOW_3:
        return True
    from airflow.configuration import conf

    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))


@cache
def _stats(in_task: bool) -> Any:
    # Airflow 3 calls the old place deprecated; the functions were those of a class before 3.3.
    places = ["airflow.sdk.observability", "airflow.observability"][0 if in_task else 1 :]
    new = next((place for place in places if AIRFLOW_3 and _is_there(place)), None)
    stats: Any = import_module("airflow.stats" if new is None else f"{new}.stats")
    return stats if hasattr(stats, "incr") else stats.Stats


def _is_there(place: str) -> bool:
    try:
        return find_spec(f"{place}.stats") is not None
    except ModuleNotFoundError:
        return False
