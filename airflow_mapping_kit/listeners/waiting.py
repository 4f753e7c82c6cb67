"""Labels anew of instances that wait, since the plan that they had theirs from is made again.

Somebody who clears a generator and what follows leaves instances that know nothing yet of the plan they will work on:
at once they lose the label of the old plan, and have that of the new one as soon as it is pushed. Airflow has no
listener for either, and makes no instance anew that is there: what tells of them is what writes them, in whose
transaction the labels change.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import AIRFLOW_3, parts
from airflow_mapping_kit.guarded import guarded

if TYPE_CHECKING:
    from collections.abc import Collection

# What an instance is in before it is at work; `None` is what Airflow calls no status.
WAITING = (None, "scheduled", "queued")
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
_NOTED = "mapping_kit"


class Anew(NamedTuple):
    """A run whose waiting instances are to be labelled anew.

    :param pushed: the tasks whose plan is there, although they have not ended.
    """

    dag_id: str
    run_id: str
    pushed: set[str]


def watch() -> None:
    """Have plans that are pushed in this process noticed."""
    # The process of a task of Airflow 3 has no models, nor a use for them: what it pushes goes to the API server.
    if AIRFLOW_3 and "airflow.models.taskinstance" not in sys.modules:
        return
    if parts.switched_off(parts.EARLY_LABELS):
        return
    from airflow.models import xcom
    from sqlalchemy import event

    model = getattr(xcom, "XComModel" if AIRFLOW_3 else "BaseXCom")
    if not event.contains(model, "after_insert", _pushed):
        event.listen(model, "after_insert", _pushed, propagate=True)


def cleared(task_instance: Any) -> None:
    """Note that an instance which has ended may be about to be cleared: others may have been mapped over it."""
    from sqlalchemy.orm import object_session

    session = object_session(task_instance)
    if session is not None:
        _note(session, task_instance.dag_id, task_instance.run_id)


def _pushed(_: Any, connection: Any, xcom: Any) -> None:
    # What an instance of a mapped task pushed is part of a plan that is whole when all of them have.
    if xcom.key == "return_value" and (xcom.map_index is None or xcom.map_index < 0):
        _note_plan(xcom, connection)


@guarded
def _note_plan(xcom: Any, connection: Any) -> None:
    """Note a plan that was pushed, if instances wait that were made of one before."""
    from airflow.models.taskmap import TaskMap
    from sqlalchemy import literal, select
    from sqlalchemy.orm import object_session

    from airflow_mapping_kit.plans import early_labels

    if not early_labels.possible():
        return
    lengths = TaskMap.__table__.c
    # Airflow notes the lengths of plans, and of nothing else.
    is_plan = select(literal(1)).where(
        lengths.dag_id == xcom.dag_id, lengths.run_id == xcom.run_id, lengths.task_id == xcom.task_id
    )
    with connection.begin_nested():
        found = connection.execute(select(is_plan.exists() & _some_wait(xcom.dag_id, xcom.run_id))).scalar()
    if found:
        _note(object_session(xcom), xcom.dag_id, xcom.run_id, xcom.task_id)


def _note(session: Any, dag_id: str, run_id: str, task_id: str | None = None) -> None:
    """Label the instances of a run anew that wait, at the end of a transaction.

    :param task_id: the task whose plan the transaction writes.
    """
    from sqlalchemy import event

    if _NOTED not in session.info:
        session.info[_NOTED] = {}
        event.listen(session, "before_commit", _committing)
    noted = session.info[_NOTED].setdefault((dag_id, run_id), Anew(dag_id, run_id, set()))
    if task_id is not None:
        noted.pushed.add(task_id)


def _committing(session: Any) -> None:
    # The end of a savepoint is none.
    if not session.info[_NOTED] or session.in_nested_transaction():
        return
    session.flush()
    noted = list(session.info[_NOTED].values())
    session.info[_NOTED].clear()
    for each in noted:
        label_anew(each, session)


@guarded
def label_anew(run: Anew, session: Any) -> None:
    """Give the instances of a run that wait the labels of the plans as they are, or none.

    :param session: that of the transaction.
    """
    from airflow_mapping_kit.compat import expand_input_of, passing_connection, stored_dag
    from airflow_mapping_kit.listeners.rows import Labels
    from airflow_mapping_kit.plans import early_labels
    from airflow_mapping_kit.plans.planned import sources

    if not early_labels.possible():
        return
    from sqlalchemy import select

    with passing_connection(session) as connection:
        # The DAG is read where it is needed: whoever looks at an instance that has ended may come by.
        if not connection.execute(select(_some_wait(run.dag_id, run.run_id))).scalar():
            return
        dag = stored_dag(run.dag_id, run.run_id, session)
        if dag is None:
            return
        inputs = {task.task_id: expand_input_of(task) for task in dag.tasks if early_labels.is_labelled(task)}
        made_of = {
            task_id: {source.task_id for source in sources(expand_input)}
            for task_id, expand_input in inputs.items()
            if expand_input is not None
        }
        rows = Labels(connection, run.dag_id, run.run_id)
        known = rows.read([task_id for task_id, of in made_of.items() if of], states=WAITING)
        if not known:
            return
        unfinished = _unfinished(connection, run, set().union(*made_of.values())) - run.pushed
        early_labels.forget(run.dag_id, run.run_id)
        new: dict[tuple[str, int], str | None] = {}
        for (task_id, map_index), label in known.items():
            if made_of[task_id] & unfinished:
                new[task_id, map_index] = None
                continue
            new[task_id, map_index] = early_labels.of_instance(
                dag.get_task(task_id),
                dag_id=run.dag_id,
                run_id=run.run_id,
                map_index=map_index,
                session=session,
            )
            # What is not known here was right as long as the plan is the same.
            if new[task_id, map_index] is None and not made_of[task_id] & run.pushed:
                new[task_id, map_index] = label
        rows.write({place: label for place, label in new.items() if label != known[place]})


def _some_wait(dag_id: str, run_id: str) -> Any:
    """Return the condition that mapped instances of a run wait."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import literal, or_, select

    columns = TaskInstance.__table__.c
    return (
        select(literal(1))
        .where(columns.dag_id == dag_id, columns.run_id == run_id, columns.map_index >= 0)
        .where(or_(*(columns.state == state for state in WAITING)))
        .exists()
    )


def _unfinished(connection: Any, run: Anew, task_ids: Collection[str]) -> set[str]:
    """Return which of some tasks have an instance that has not ended."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import or_, select

    columns = TaskInstance.__table__.c
    query = select(columns.task_id).where(
        columns.dag_id == run.dag_id,
        columns.run_id == run.run_id,
        columns.task_id.in_(task_ids),
        or_(columns.state.is_(None), columns.state.not_in(ENDED)),
    )
    return set(connection.execute(query.distinct()).scalars())
