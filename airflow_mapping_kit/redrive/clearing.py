"""Clearing exactly what has to run again, beside the metadata database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.checkpoints.checkpoint import carry_over
from airflow_mapping_kit.compat import again_if_disconnected, clear_instances, own_session
from airflow_mapping_kit.partitions import batches
from airflow_mapping_kit.results import NOT_STARTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive

# The audit log's column holds 64 KiB on MySQL.
_MAX_TOLD = 5_000
# So many rows are named in one statement: databases limit how long it may be.
_AT_ONCE = 500


class Actor(NamedTuple):
    """Who has instances run again, as Airflow's audit log tells it.

    :param event: what was done, in at most 60 characters.
    :param owner: the name of the user.
    :param extra: what else is worth to be known, as JSON has it.
    """

    event: str
    owner: str
    extra: Mapping[str, Any]


@again_if_disconnected
def clear(
    dag: Any, wanted: Mapping[str, Redrive], *, actor: Actor, fresh: bool = False
) -> dict[str, list[Cleared]]:
    """Clear what has to run again in some runs, and say so in the audit log, in one transaction.

    What has begun to run since it was looked at, has ended otherwise or is gone, is left alone, and what follows too
    where nothing else is left. Items of a batch that are done stay done.

    :param dag: the DAG, declared or serialized.
    :param wanted: what has to run again, by run id.
    :param fresh: whether all items of a batch that failed are done again.
    :return: what was cleared, by run id; of a run that nothing was left of, nothing.
    """
    cleared: dict[str, list[Cleared]] = {}
    with own_session() as session:
        _lock_runs(dag.dag_id, sorted(wanted), session)
        for run_id in sorted(wanted):
            found = _clear(dag, run_id, wanted[run_id], session, fresh=fresh)
            if found:
                cleared[run_id] = found
                log(session, actor, dag.dag_id, run_id, {"cleared": _told(found)})
    return cleared


def log(session: Any, actor: Actor, dag_id: str, run_id: str, done: Mapping[str, Any]) -> None:
    """Write into Airflow's audit log what somebody has done to a run."""
    from airflow.models.log import Log

    extra = json.dumps({**actor.extra, **done})
    session.add(Log(actor.event, owner=actor.owner, extra=extra, dag_id=dag_id, run_id=run_id))


def _lock_runs(dag_id: str, run_ids: list[str], session: Any) -> None:
    """Have the scheduler wait with some runs, and whoever clears the same ones.

    It locks a run before its instances: in the other order each could wait for the other for ever.
    """
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    for part in batches(run_ids, batch_size=_AT_ONCE) if run_ids else ():
        query = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id.in_(part)).order_by(DagRun.id)
        session.execute(query.with_for_update(of=DagRun)).all()


def _clear(dag: Any, run_id: str, wanted: Redrive, session: Any, *, fresh: bool) -> list[Cleared]:
    pieces = {(one.task_id, one.map_index): one for one in (*wanted.before, *wanted.pieces)}
    others = {(one.task_id, one.map_index) for one in wanted.after}
    rows = _rows(dag.dag_id, run_id, [*pieces, *others], session)
    left = [
        row
        for row in rows
        if (one := pieces.get((row.task_id, row.map_index))) is not None and not _changed(row, one)
    ]
    reasons = {(one.task_id, one.map_index) for one in wanted.reasons}
    if not any((row.task_id, row.map_index) in reasons for row in left):
        return []
    instances = [*left, *(row for row in rows if (row.task_id, row.map_index) in others)]
    carry_over(instances, lambda: clear_instances(instances, session, dag), session, fresh=fresh)
    cleared = {(row.task_id, row.map_index) for row in instances}
    return [one for one in wanted.everything if (one.task_id, one.map_index) in cleared]


def _rows(dag_id: str, run_id: str, places: Iterable[tuple[str, int]], session: Any) -> list[Any]:
    """Return the rows of some instances of a run, locked."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    indexes: dict[str, list[int]] = {}
    for task_id, index in places:
        indexes.setdefault(task_id, []).append(index)
    found: list[Any] = []
    for task_id, of_task in sorted(indexes.items()):
        for part in batches(sorted(of_task), batch_size=_AT_ONCE):
            query = (
                select(TaskInstance)
                .where(
                    TaskInstance.dag_id == dag_id,
                    TaskInstance.run_id == run_id,
                    TaskInstance.task_id == task_id,
                    TaskInstance.map_index.in_(part),
                )
                .order_by(TaskInstance.map_index)
            )
            # Only these rows: Airflow may join others to them that need not be there.
            found += session.scalars(query.with_for_update(of=TaskInstance)).all()
    return found


def _changed(row: Any, one: Cleared) -> bool:
    return bool(row.state != (one.state if one.state != NOT_STARTED else SKIPPED))


def _told(cleared: Iterable[Cleared]) -> dict[str, list[int] | int]:
    """Return the map indexes of some instances by task, -1 of one that is not mapped; of very many their number."""
    found: dict[str, list[int]] = {}
    for one in cleared:
        found.setdefault(one.task_id, []).append(one.map_index)
    if sum(map(len, found.values())) <= _MAX_TOLD:
        return {**found}
    return {task_id: len(indexes) for task_id, indexes in found.items()}
