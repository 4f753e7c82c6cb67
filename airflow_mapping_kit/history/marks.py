"""What changes whenever a DAG's history may have changed: asked of many DAGs at once, in a few queries."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import asset_tables
from airflow_mapping_kit.compat.parts import STALE, switched_off

if TYPE_CHECKING:
    from collections.abc import Collection

Mark = tuple[Any, ...]
_AT_WORK = ("queued", "running")


def marks(dag_ids: Collection[str], session: Any) -> dict[str, Mark]:
    """Return a mark of each DAG that has runs: equal ones mean that its history is the same.

    It is of its runs, of the instances of those at work, and of whether its next run is due. What somebody changes of
    an ended run, the run says. What it reads is not in it: see `newest_event`.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import and_, func, select

    dags, runs, instances = DagModel.__table__.c, DagRun.__table__.c, TaskInstance.__table__.c
    ids = list(dag_ids)
    found: dict[str, Mark] = {
        row[0]: tuple(row[1:])
        for row in session.execute(
            select(runs.dag_id, func.count(), func.max(runs.id), func.max(runs.updated_at))
            .where(runs.dag_id.in_(ids))
            .group_by(runs.dag_id)
        )
    }
    same = and_(instances.dag_id == runs.dag_id, instances.run_id == runs.run_id)
    for row in session.execute(
        select(runs.dag_id, func.count(), func.max(instances.updated_at))
        .join_from(DagRun.__table__, TaskInstance.__table__, same)
        .where(runs.dag_id.in_(ids), runs.state.in_(_AT_WORK))
        .group_by(runs.dag_id)
    ):
        found[row[0]] += tuple(row[1:])
    now = datetime.now(timezone.utc)
    for dag_id, due in session.execute(
        select(dags.dag_id, dags.next_dagrun_create_after).where(dags.dag_id.in_(list(found)))
    ):
        # From then on its run is missing, if it doesn't come.
        found[dag_id] += (due, due is not None and due <= now)
    return found


def newest_event(session: Any) -> int | None:
    """Return what the newest event of any asset is."""
    from sqlalchemy import func, select

    if switched_off(STALE):
        return None
    newest: int | None = session.scalar(select(func.max(asset_tables().event.c.id)))
    return newest
