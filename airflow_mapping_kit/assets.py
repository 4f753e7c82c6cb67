"""Which partitions of an asset changed: from the task that changed them to the DAG that is scheduled on the asset.

Airflow 3.3 has events of partitions. Before it, an event has a dict of its author's, `extra`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import Asset, add_partitions, get_current_context, triggering_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Where the keys are in an event's `extra`.
EXTRA = "mapping_kit_partitions"
# What Airflow takes as the key of a partition.
MAX_KEY_LENGTH = 250
_DIGEST_LENGTH = 12


def mark_changed(keys: Iterable[str], *, context: Mapping[str, Any] | None = None) -> None:
    """Say of which partitions the running task changed its outlets.

    The operators of the kit and `collect` do so themselves. A DAG that is scheduled on one of the assets reads them
    with `changed_partitions`. On Airflow 3.3 each is an event of its own besides, for DAGs that are scheduled on
    partitions; a run that has a partition key itself keeps that as the key of its events.

    :param keys: partition keys; what is longer than 250 characters is cut and ends in a hash.
    :param context: the context of the task. Default: the current one.

    Example: `mark_changed([partition_key({"date": "2013-01-01"})])` in a task with `outlets=[Asset("flights")]`.
    """
    known: Any = get_current_context() if context is None else context
    outlets = [one for one in getattr(known.get("task"), "outlets", None) or () if isinstance(one, Asset)]
    changed = sorted({_cut(key) for key in keys})
    if not outlets or not changed:
        return
    whole_run = getattr(known.get("dag_run"), "partition_key", None) is not None
    for outlet in outlets:
        event = known["outlet_events"][outlet]
        if whole_run or not add_partitions(event, changed):
            event.extra[EXTRA] = sorted({*event.extra.get(EXTRA, ()), *changed})


def changed_partitions(*, asset: Any = None, context: Mapping[str, Any] | None = None) -> list[str]:
    """Return the keys of the partitions whose change started the run, sorted.

    :param asset: of which asset alone. Default: of all that the DAG is scheduled on.
    :param context: the context of the task. Default: the current one.
    :return: the keys that `mark_changed` was given in all the events that the run takes in, and those of other
        events of partitions; none if the run was started otherwise.

    Example: in a run that `collect(load, outlets=[flights])` of two days started, `["date=2013-01-01",
    "date=2013-01-02"]`. `parse_partition_key` makes partitions of them, to be mapped over.
    """
    known: Any = get_current_context() if context is None else context
    return sorted({key for event in triggering_events(known, asset) for key in _keys_of(event)})


def _keys_of(event: Any) -> list[str]:
    noted = (event.extra or {}).get(EXTRA)
    if noted is not None:
        return [str(key) for key in noted]
    key = getattr(event, "partition_key", None)
    return [] if key is None else [str(key)]


def _cut(key: str) -> str:
    if len(key) <= MAX_KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{key[: MAX_KEY_LENGTH - _DIGEST_LENGTH - 1]}~{digest}"
