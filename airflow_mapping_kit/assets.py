"""Which partitions of an asset changed: from the task that changed them to the DAG that is scheduled on the asset.

Airflow 3.3 has events of partitions. Before it, an event has a dict of its author's, `extra`.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    Asset,
    add_partitions,
    added_partitions,
    get_current_context,
    takes_partitions,
    triggering_events,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Where the keys are in an event's `extra`.
EXTRA = "mapping_kit_partitions"
# What Airflow takes as the key of a partition.
MAX_KEY_LENGTH = 250
# Airflow stores the events of a task within one call of its API, 10 ms each, which has 5 s by default.
MAX_EVENTS = 200
_DIGEST_LENGTH = 12

_log = logging.getLogger(__name__)


def mark_changed(keys: Iterable[str], *, context: Mapping[str, Any] | None = None) -> None:
    """Say of which partitions the running task changed its outlets.

    The operators of the kit and `collect` do so themselves. A DAG that is scheduled on one of the assets reads them
    with `changed_partitions`. On Airflow 3.3 each is an event of its own besides, for DAGs that are scheduled on
    partitions, unless they are more than 200; a run that has a partition key itself keeps that as the key of its
    events.

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
        _tell(known["outlet_events"][outlet], changed, whole_run=whole_run)


def _tell(event: Any, changed: list[str], *, whole_run: bool) -> None:
    each = takes_partitions(event) and not whole_run
    every = {*added_partitions(event), *event.extra.get(EXTRA, ()), *changed}
    if each and len(every) > MAX_EVENTS:
        _log.warning(
            "%d partitions of an outlet changed: DAGs that are scheduled on the asset are told in one event, those "
            "on its partitions are not, for Airflow takes no more than %d at once.",
            len(every),
            MAX_EVENTS,
        )
        # Those that were told before are in the one event as well.
        event.partition_keys = set()
        each = False
    if each:
        add_partitions(event, changed)
    if not each or EXTRA in event.extra:
        event.extra[EXTRA] = sorted(every)


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
