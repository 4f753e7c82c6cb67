"""The settings of running batches that somebody may change, checked before anything is written."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import SteeringError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.steering.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

CONCURRENCY, STOP_AFTER, RATE, PAUSED = "concurrency", "stop_after", "rate", "paused"
TOLERANCE = "tolerated_failure_percentage"
# In place of a value: what the DAG says; and no limit at all.
AS_DECLARED, NONE = "dag", "none"

# Threads beyond that only wait for each other.
MAX_CONCURRENCY = 1_000
_MAX_STOP_AFTER = 1_000_000_000
_MAX_PERCENTAGE = 100


class Change(NamedTuple):
    """A setting that somebody has changed.

    :param value: `None` is no limit.
    :param by: who.
    :param at: when, in ISO form.
    """

    value: Any
    by: str
    at: str


def checked(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with values as they are stored: `{"concurrency": "8"}` gives `{"concurrency": 8}`.

    :param wanted: values by the name of the setting, as text or JSON; `"dag"` for the value of the DAG, `"none"` for
        no rate and no `stop_after`.
    :raises SteeringError: naming the setting and the value that is not valid.
    """
    return {name: _checked(name, value) for name, value in wanted.items()}


def merged(
    stored: Mapping[str, Change], changes: Mapping[str, Any], *, by: str, at: str
) -> dict[str, Change]:
    """Return all changes after new ones. Settings that the new ones don't name stay as they are.

    :param changes: as `checked` gives them.
    """
    found = dict(stored)
    for name, value in changes.items():
        if value == AS_DECLARED:
            found.pop(name, None)
        else:
            found[name] = Change(value, by, at)
    return found


def as_json(stored: Mapping[str, Change]) -> dict[str, Any]:
    """Return changes as they are stored: `{"rate": {"value": "100/m", "by": "ana", "at": "2026-…"}}`."""
    return {name: change._asdict() for name, change in stored.items()}


def of_json(kept: Any) -> dict[str, Change]:
    """Return changes from their stored form. A value that is not valid is ignored, and the log says so."""
    entries = kept.items() if isinstance(kept, dict) else ()
    changes = {str(name): _change(str(name), one) for name, one in entries}
    return {name: change for name, change in changes.items() if change is not None}


def _change(name: str, kept: Any) -> Change | None:
    try:
        value = _checked(name, NONE if kept["value"] is None else kept["value"])
        return Change(value, str(kept.get("by", "")), str(kept.get("at", "")))
    except (SteeringError, TypeError, KeyError, AttributeError) as error:
        log.warning("The kit ignores a setting that mapping-kit didn't write: %s", error)
        return None


def _checked(name: str, value: Any) -> Any:
    if name not in _CHECKS:
        raise SteeringError(f"{shown(name)} is not a setting. The settings are {', '.join(_CHECKS)}.")
    if value == AS_DECLARED:
        return value
    return _CHECKS[name](name, value)


def _whole(most: int, *, may_be_none: bool) -> Callable[[str, Any], int | None]:
    said = f", or {NONE}" if may_be_none else ""

    def check(name: str, value: Any) -> int | None:
        if may_be_none and value == NONE:
            return None
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= most):
            raise SteeringError(
                f"{name}={shown(value)}: give a whole number from 1 to {most:,}{said}, or {AS_DECLARED} for what the "
                f"DAG says."
            )
        return int(text)

    return check


def _percentage(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= _MAX_PERCENTAGE:
        raise SteeringError(
            f"{name}={shown(value)}: give a number from 0 to 100, or {AS_DECLARED} for what the DAG says."
        )
    return int(number) if number.is_integer() else number


def _paused(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SteeringError(f"{name}={shown(value)}: say true or false.")
    return value


def _rate(_: str, value: Any) -> str | None:
    return None if value == NONE else str(Rate.of(value))


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    CONCURRENCY: _whole(MAX_CONCURRENCY, may_be_none=False),
    STOP_AFTER: _whole(_MAX_STOP_AFTER, may_be_none=True),
    RATE: _rate,
    TOLERANCE: _percentage,
    PAUSED: _paused,
}
NAMES = tuple(_CHECKS)
