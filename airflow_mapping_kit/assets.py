"""Which partitions of an asset changed: from the task that changed them to the DAG that is scheduled on the asset.

Airflow 3.3 has events of partitions. Before it, an event has a dict of its author's, `extra`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    Asset,
    add_partitions,
    added_partitions,
    get_current_context,
    hidden_names,
    takes_partitions,
    triggering_events,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.keys import CUT_LENGTH, cut_mark, hidden_key
from airflow_mapping_kit.results import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Where the keys are in an event's `extra`.
EXTRA = "mapping_kit_partitions"
# Of an event that names none, for there were too many: how many characters of keys it would have had at least.
TOO_MANY = "mapping_kit_too_many_partitions"
# Where an event of a partition has the keys that Airflow takes only cut, `{cut: whole}`.
WHOLE = "mapping_kit_whole_keys"
# What Airflow takes as the key of a partition.
MAX_KEY_LENGTH = 250
# Airflow stores the events of a task within one call of its API, 10 ms each, which has 5 s by default.
MAX_EVENTS = 200
# Every event of a task has the same `extra`, whole keys and all.
_MAX_CHARACTERS = 1_000_000
_NUMBER = re.compile(r"#\d+\Z")

_log = logging.getLogger(__name__)


def mark_changed(keys: Iterable[str], *, context: Mapping[str, Any] | None = None) -> None:
    """Tell the DAGs that are scheduled on this task's outlets which partitions it changed.

    The kit's operators and `collect` call this themselves. A DAG that is scheduled on one of the assets reads the keys
    with `changed_partitions`. On Airflow 3.3, each partition is also an event of its own, for DAGs that are scheduled
    on partitions, unless there are more than 200. If the run itself has a partition key, its events keep that key.
    Such an event holds at most 250 characters of a key: a longer one is cut, and ends in `#~` and a digest.
    `changed_partitions` returns the whole key there, too.

    An event can name keys of a million characters in all. If there are more, it names none, and `changed_partitions`
    raises an error.

    :param keys: partition keys.
    :param context: the context of the task. Default: the current one.

    Example: `mark_changed([partition_key({"date": "2013-01-01"})])` in a task with `outlets=[Asset("flights")]`.
    """
    known: Any = get_current_context() if context is None else context
    outlets = [one for one in getattr(known.get("task"), "outlets", None) or () if isinstance(one, Asset)]
    # Whoever has no outlets need not read the keys, which may be a million.
    changed = _distinct(keys) if outlets else []
    if changed is None:
        for outlet in outlets:
            _tell_of_too_many(known["outlet_events"][outlet])
        return
    if not changed:
        return
    whole_run = getattr(known.get("dag_run"), "partition_key", None) is not None
    for outlet in outlets:
        _tell(known["outlet_events"][outlet], changed, whole_run=whole_run)


def mark_succeeded(rows: Iterable[Mapping[str, Any]], *, context: Mapping[str, Any]) -> None:
    """Say that the running task changed the partitions of the rows that succeeded.

    :param rows: rows with `key` and `state`. Equal partitions, `date=2013-01-01` and `date=2013-01-01#2`, are one.
    """
    # No key holds a `#` but the one that tells equal pieces apart, and the mark of one that was cut.
    keys = (_NUMBER.sub("", row["key"]) for row in rows if row["state"] == SUCCESS)
    mark_changed(keys, context=context)


def _distinct(keys: Iterable[str]) -> list[str] | None:
    """Return keys, each once, sorted; `None`, without reading on, where they are too many for an event."""
    names, found, room = hidden_names(), set[str](), _MAX_CHARACTERS
    for key in keys:
        shown = hidden_key(key, names)
        if shown not in found:
            found.add(shown)
            room -= len(shown)
            if room < 0:
                return None
    return sorted(found)


def _tell_of_too_many(event: Any) -> None:
    _log.warning(
        "More partitions of an outlet changed than an asset event can name (%d characters of keys): the event "
        "reports the change, and names none of them.",
        _MAX_CHARACTERS,
    )
    if takes_partitions(event):
        event.partition_keys = set()
    for name in (EXTRA, WHOLE):
        event.extra.pop(name, None)
    event.extra[TOO_MANY] = _MAX_CHARACTERS


def _tell(event: Any, changed: list[str], *, whole_run: bool) -> None:
    if TOO_MANY in event.extra:
        return
    every = {*_told(event), *changed}
    if sum(map(len, every)) > _MAX_CHARACTERS:
        _tell_of_too_many(event)
        return
    if not takes_partitions(event) or whole_run:
        event.extra[EXTRA] = sorted(every)
        return
    cut = {_cut(key): key for key in every if len(key) > MAX_KEY_LENGTH}
    if len(every) > MAX_EVENTS or len(every) * sum(map(len, cut.values())) > _MAX_CHARACTERS:
        _log.warning(
            "%d partitions of an outlet changed: DAGs that are scheduled on the asset get one event. DAGs that "
            "are scheduled on its partitions get none, because Airflow takes at most %d partitions at once, and "
            "fewer if their keys are long.",
            len(every),
            MAX_EVENTS,
        )
        # Those that were told before are in the one event as well.
        event.partition_keys = set()
        event.extra.pop(WHOLE, None)
        event.extra[EXTRA] = sorted(every)
    elif EXTRA in event.extra:
        event.extra[EXTRA] = sorted(every)
    else:
        add_partitions(event, [_cut(key) for key in changed])
        if cut:
            event.extra[WHOLE] = cut


def _told(event: Any) -> set[str]:
    """Return the partitions that an event of an outlet tells of already."""
    whole = event.extra.get(WHOLE, {})
    return {*event.extra.get(EXTRA, ()), *(whole.get(key, key) for key in added_partitions(event))}


def changed_partitions(*, asset: Any = None, context: Mapping[str, Any] | None = None) -> list[str]:
    """Return the sorted keys of the partitions whose change started the run.

    :param asset: only partitions of this asset. Default: of all assets that the DAG is scheduled on.
    :param context: the context of the task. Default: the current one.
    :return: the keys that `mark_changed` was given in all the events that the run takes in, and those of other
        events of partitions; none if something else started the run.
    :raises PlanError: if an event names no partitions because there were too many, so that none is missed silently.

    Example: `["date=2013-01-01", "date=2013-01-02"]` in a run that `collect(load, outlets=[flights])` started after
    two days. `parse_partition_key` turns them into partitions that you can map over.
    """
    known: Any = get_current_context() if context is None else context
    events = list(triggering_events(known, asset))
    if any(isinstance(event.extra, Mapping) and TOO_MANY in event.extra for event in events):
        raise PlanError(
            "An asset event that started this run can't name all of its changed partitions: more than "
            f"{_MAX_CHARACTERS:,} characters of keys. Load all partitions in this run, or let the task before "
            "mark fewer, by mark_changed()."
        )
    return sorted({key for event in events for key in keys_of(event)})


def keys_of(event: Any) -> list[str]:
    """Return the keys of the partitions that an event names, whole; none if it names none.

    :param event: what has the `extra` of an event, and since Airflow 3.3 its `partition_key`.
    """
    extra = event.extra if isinstance(event.extra, Mapping) else {}
    noted = extra.get(EXTRA)
    if isinstance(noted, list):
        return [str(key) for key in noted]
    key = getattr(event, "partition_key", None)
    if key is None:
        return []
    whole = extra.get(WHOLE)
    return [str(whole.get(key, key) if isinstance(whole, Mapping) else key)]


def _cut(key: str) -> str:
    return key if len(key) <= MAX_KEY_LENGTH else f"{key[: MAX_KEY_LENGTH - CUT_LENGTH]}{cut_mark(key)}"
