"""Runs of a DAG in Airflow's tables: their states, starting one, and running again what failed. Airflow 2.x.

Every call has a transaction of its own: what is done stays done when the process is killed right after. So each is
made again where the connection was lost, and finds what it had done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import again_if_disconnected, clear_instances, own_session
from airflow_mapping_kit.operators.dagrun.states import chunked
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.operators.dagrun.child import Child
    from airflow_mapping_kit.operators.dagrun.plan import ChildRun

_ATTEMPTS = 10


@again_if_disconnected
def states(dag_id: str, run_ids: Sequence[str]) -> dict[str, str]:
    """Return the states of runs by run id; those that don't exist are missing."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    table = DagRun.__table__
    found: dict[str, str] = {}
    with own_session() as session:
        for chunk in chunked(run_ids):
            query = select(table.c.run_id, table.c.state).where(
                table.c.dag_id == dag_id, table.c.run_id.in_(chunk)
            )
            found.update((run_id, str(state)) for run_id, state in session.execute(query))
    return found


@again_if_disconnected
def tally(dag_id: str, run_ids: Sequence[str]) -> Counter[str]:
    """Return how many of some runs, no more than are asked for at once, are in which state."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import func, select

    table = DagRun.__table__
    query = (
        select(table.c.state, func.count())
        .where(table.c.dag_id == dag_id, table.c.run_id.in_(run_ids))
        .group_by(table.c.state)
    )
    with own_session() as session:
        return Counter({str(state): number for state, number in session.execute(query)})


@again_if_disconnected
def failed_tasks(dag_id: str, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tasks that failed in some runs by run id, sorted; those without are missing."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    table = TaskInstance.__table__
    found: dict[str, set[str]] = defaultdict(set)
    with own_session() as session:
        for chunk in chunked(run_ids):
            query = select(table.c.run_id, table.c.task_id).where(
                table.c.dag_id == dag_id, table.c.run_id.in_(chunk), table.c.state == FAILED
            )
            for run_id, task_id in session.execute(query):
                found[run_id].add(task_id)
    return {run_id: sorted(task_ids) for run_id, task_ids in found.items()}


@again_if_disconnected
def is_paused(dag_id: str) -> bool:
    """Tell whether runs of a DAG don't begin, or don't go on, since somebody paused it."""
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    with own_session() as session:
        return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


@again_if_disconnected
def has_triggerer() -> bool:
    """Tell whether a triggerer is alive."""
    from airflow.jobs.job import most_recent_job

    with own_session() as session:
        job = most_recent_job("TriggererJob", session=session)
        return job is not None and bool(job.is_alive())


@again_if_disconnected
def start(child: Child, run: ChildRun) -> bool:
    """Start a run.

    :return: whether it was started here: not if another process has done so since somebody looked.
    """
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType
    from pendulum import instance
    from sqlalchemy.exc import IntegrityError

    for attempt in range(_ATTEMPTS):
        # No two runs of a DAG have the same: each gets the microsecond in which it is made.
        moment = instance(datetime.now(timezone.utc))
        try:
            with own_session() as session:
                child.dag.create_dagrun(
                    run_id=run.run_id,
                    run_type=DagRunType.MANUAL,
                    execution_date=moment,
                    data_interval=child.dag.timetable.infer_manual_data_interval(run_after=moment),
                    state=DagRunState.QUEUED,
                    conf=run.conf,
                    external_trigger=True,
                    dag_hash=child.dag_hash,
                    session=session,
                )
        except IntegrityError:
            if states(child.dag.dag_id, [run.run_id]):
                return False
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return True
    return False


@again_if_disconnected
def restart(child: Child, run: ChildRun) -> bool:
    """Run again what did not succeed in a failed run, and what depends on it.

    :return: whether that was done here: not if the run is no failed one any more.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    with own_session() as session:
        query = select(DagRun).where(DagRun.dag_id == child.dag.dag_id, DagRun.run_id == run.run_id)
        row = session.scalar(query.with_for_update())
        if row is None or row.state != DagRunState.FAILED:
            return False
        again = _to_run_again(child.dag, row.get_task_instances(session=session))
        clear_instances(again, session, child.dag)
        # Somebody marked it failed though every task of it had succeeded.
        if not again:
            row.state = DagRunState.QUEUED
    return True


def _to_run_again(dag: Any, instances: Sequence[Any]) -> list[Any]:
    """Return the instances that did not succeed, what follows them, and the setups that they need.

    Skipped ones are among them: in a run that timed out, or that somebody marked failed, they are what nobody
    began. What a branch had skipped Airflow skips again.
    """
    known = [one for one in instances if dag.has_task(one.task_id) and one.state != "removed"]
    whole: set[str] = set()
    pieces: set[tuple[str, int]] = set()
    for one in known:
        if one.state == SUCCESS:
            continue
        task = dag.get_task(one.task_id)
        pieces.add((one.task_id, one.map_index))
        whole.update(needed.task_id for needed in task.get_upstreams_only_setups_and_teardowns())
        group = _mapped_group(task)
        for after in task.get_flat_relatives(upstream=False):
            # In a mapped group only what works on the same piece follows it.
            if group is not None and _mapped_group(after) == group:
                pieces.add((after.task_id, one.map_index))
            else:
                whole.add(after.task_id)
    return [one for one in known if one.task_id in whole or (one.task_id, one.map_index) in pieces]


def _mapped_group(task: Any) -> str | None:
    group = next(iter(task.iter_mapped_task_groups()), None)
    return None if group is None else str(group.group_id)
