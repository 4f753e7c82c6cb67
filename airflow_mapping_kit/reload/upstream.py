"""What changed upstream since it was loaded: events that name partitions, against what Airflow knows of runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import keys_of
from airflow_mapping_kit.compat import AIRFLOW_3, events_of, hidden_names, own_session, parts, schedule_ports
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import history
from airflow_mapping_kit.history.changes import changes, upstream
from airflow_mapping_kit.history.stale import of_keys, unknown_of
from airflow_mapping_kit.partitions.keys import hidden_key, partition_key
from airflow_mapping_kit.partitions.pieces import piece_key
from airflow_mapping_kit.partitions.zones import load_zone
from airflow_mapping_kit.reading.runs import other_runs
from airflow_mapping_kit.reload.last_time import RUNS, mapped_over, of_run

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_mapping_kit.history.changes import Upstream
    from airflow_mapping_kit.plans.mapped import Mapped

log = logging.getLogger(__name__)

# A task of Airflow 3 is told of each event by itself, two milliseconds each.
MOST_EVENTS = 5_000


def changed_upstream(
    candidates: list[dict[str, Any]], context: Any, every: str, zone: str
) -> list[dict[str, Any]]:
    """Return those of some partitions that something was changed for upstream that no other run has loaded since.

    Such a partition may have been loaded before, or never. One that waits in another run is loaded by that.

    :param every: how long a period lasts.
    :param zone: whose clock periods are read on.
    :raises PlanError: if nothing is mapped over the running generator, or nothing that is reads an asset.
    """
    names = hidden_names()
    due: set[str] = set()
    keys = {piece_key({"partition": one}, hidden=names): one for one in candidates}
    whole = [hidden_key(partition_key(one), names) for one in keys.values()]
    for mapped in mapped_over(context):
        sources = upstream(context["dag"], mapped.task_ids)
        if not sources:
            raise PlanError(
                f"{mapped.name} reads no asset, so nobody knows what changed upstream: schedule the DAG on assets, "
                f"give the task inlets=[...], or choose what is missing."
            )
        touched = of_keys(whole, _newest(sources, context), load_zone(zone), every)
        for note in unknown_of(touched):
            log.warning("%s", note)
        changed = dict(zip(keys, (touched.newest.get(place) for place in range(len(keys))), strict=True))
        events = {key: moment for key, moment in changed.items() if moment is not None}
        due |= (
            _by_runs(mapped, context["ti"], events)
            if AIRFLOW_3
            else _by_tables(mapped, events, context["run_id"])
        )
    return [one for key, one in keys.items() if key in due]


def _newest(sources: Upstream, context: Any) -> dict[str, datetime]:
    """Return when each partition changed last that some event names, by key."""
    if not AIRFLOW_3:
        with own_session() as session:
            found = changes(sources, None, session)
        if found.since is not None:
            log.warning(
                "More changed upstream than is looked at: only what did since %s is known", found.since
            )
        return found.newest
    parts.need(parts.CHANGED)
    newest: dict[str, datetime] = {}
    for port in dict.fromkeys(
        [*(schedule_ports(context["dag"]) if sources.scheduled else ()), *sources.inlets]
    ):
        events, more = events_of(port, MOST_EVENTS)
        if more:
            log.warning(
                "Only the newest %d events of %s were looked at: what changed before %s is not known",
                len(events),
                port.alias or port.uri or port.name,
                events[-1].timestamp,
            )
        for event in events:
            if event.source_dag_id != sources.dag_id:
                for key in keys_of(event):
                    newest[key] = max(event.timestamp, newest.get(key, event.timestamp))
    return newest


def _by_tables(mapped: Mapped, events: dict[str, datetime], run_id: str) -> set[str]:
    """Return which of the pieces that changed are not loaded since, as the history of the DAG has them."""
    found = history(mapped.dag, mapped.name, asking=run_id)
    for note in found.notes:
        log.info("%s", note)
    fresh = set()
    for cell, letter in enumerate(found.letters.decode()):
        key = found.key(cell)
        if key not in events:
            continue
        tried = found.attempt(cell)
        # What is at work, or was skipped, began no earlier than its run.
        begun = tried is not None and tried.run.started >= events[key]
        if letter in "oqQ" or (letter in "wWsS" and begun):
            fresh.add(key)
    return events.keys() - fresh


def _by_runs(mapped: Mapped, task_instance: Any, events: dict[str, datetime]) -> set[str]:
    """Return which of the pieces that changed no run has loaded that began later, as far as a task of Airflow 3 knows.

    It is told when runs began, not instances, so rather is one loaded again than left out.
    """
    due = dict(events)
    runs, more = other_runs(task_instance, RUNS)
    if more:
        log.warning("Only the newest %d runs were looked at, and %d more were not", len(runs), more)
    for run in runs:
        # What began before the last change of all that are left has loaded none of them.
        if not any(run.started > moment for moment in due.values()):
            break
        for key, failed in of_run(mapped, task_instance, run).items():
            if not failed and key in due and run.due > due[key]:
                del due[key]
    return set(due)
