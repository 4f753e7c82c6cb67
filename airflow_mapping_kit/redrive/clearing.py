"""Clearing exactly what has to run again, beside the metadata database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.checkpoints.checkpoint import carry_over
from airflow_mapping_kit.compat import clear_instances, own_session
from airflow_mapping_kit.redrive.wanted import TO_DO_AGAIN
from airflow_mapping_kit.results import NOT_STARTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive

# The audit log's column holds 64 KiB on MySQL.
_MAX_TOLD = 5_000


class Actor(NamedTuple):
    """Who has instances run again, as Airflow's audit log tells it.

    :param event: what was done, in at most 60 characters.
    :param owner: the name of the user.
    :param extra: what else is worth to be known, as JSON has it.
    """

    event: str
    owner: str
    extra: Mapping[str, Any]


def clear(dag: Any, run_id: str, wanted: Redrive, *, actor: Actor, fresh: bool = False) -> list[Cleared]:
    """Clear what has to run again, and say so in the audit log, in one transaction; return what was cleared.

    What has begun to run since it was looked at, or has succeeded, is left alone, and what follows too where nothing
    else is left. Items of a batch that are done stay done.

    :param dag: the declared DAG.
    :param fresh: whether all items of a batch that failed are done again.
    """
    from airflow.models.log import Log
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    pieces = {(one.task_id, one.map_index): one for one in (*wanted.before, *wanted.pieces)}
    others = {(one.task_id, one.map_index): one for one in wanted.after}
    with own_session() as session:
        rows = session.scalars(
            select(TaskInstance)
            .where(
                TaskInstance.dag_id == dag.dag_id,
                TaskInstance.run_id == run_id,
                TaskInstance.task_id.in_({task_id for task_id, _ in (*pieces, *others)}),
            )
            # Only these rows: Airflow may join others to them that need not be there.
            .with_for_update(of=TaskInstance)
        ).all()
        left = [
            row
            for row in rows
            if (one := pieces.get((row.task_id, row.map_index))) is not None and not _changed(row, one)
        ]
        if not any(pieces[row.task_id, row.map_index].state in (None, *TO_DO_AGAIN) for row in left):
            return []
        instances = [*left, *(row for row in rows if (row.task_id, row.map_index) in others)]
        carry_over(instances, lambda: clear_instances(instances, session, dag), session, fresh=fresh)
        cleared = {(row.task_id, row.map_index) for row in instances}
        found = [one for one in wanted.everything if (one.task_id, one.map_index) in cleared]
        extra = json.dumps({**actor.extra, "cleared": _told(found)})
        session.add(Log(actor.event, owner=actor.owner, extra=extra, dag_id=dag.dag_id, run_id=run_id))
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
