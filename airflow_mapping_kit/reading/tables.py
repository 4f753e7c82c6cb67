"""What one run left in Airflow's tables: instances and XComs, each in one query.

For whoever is beside the database: a task of Airflow 2, the scheduler, the command line. Nothing here writes.
Every call has a connection of its own: a query that fails must not take the transaction of Airflow's own work
with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import own_session, xcom_model, xcoms_of_run
from airflow_mapping_kit.partitions import batches
from airflow_mapping_kit.reading.instances import Instance, value_of
from airflow_mapping_kit.reading.records import is_plain
from airflow_mapping_kit.reading.values import values_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from airflow_mapping_kit.reading.instances import Source

# So many runs are named in one query.
_AT_ONCE = 500
_OF_XCOM = ("task_id", "key", "map_index", "value", "dag_id", "run_id")


def instances(dag_id: str, run_id: str, task_ids: Collection[str]) -> dict[str, dict[int, Instance]]:
    """Return the instances of some tasks of a run: `{task id: {map index: instance}}`."""
    return instances_of(dag_id, [run_id], task_ids)[run_id]


def instances_of(
    dag_id: str, run_ids: Sequence[str], task_ids: Collection[str]
) -> dict[str, dict[str, dict[int, Instance]]]:
    """Return the instances of some tasks of some runs: `{run id: {task id: {map index: instance}}}`."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import and_, case, or_, select

    table, run = TaskInstance.__table__, DagRun.__table__
    # A run that times out calls what it leaves undone skipped, after it has ended itself, and gives it no end.
    # What is skipped otherwise is so before, and has an end; only of a plan without pieces the one instance that
    # stands for it has none.
    undone = and_(
        table.c.state == SKIPPED,
        or_(
            and_(table.c.end_date.is_(None), table.c.map_index >= 0),
            and_(run.c.state == FAILED, table.c.updated_at >= run.c.end_date),
        ),
    )
    query = (
        select(
            table.c.run_id,
            table.c.task_id,
            table.c.map_index,
            case((undone, NOT_STARTED), else_=table.c.state),
            table.c.try_number,
            table.c.duration,
            table.c.rendered_map_index,
            table.c.max_tries,
        )
        .join_from(table, run, and_(table.c.dag_id == run.c.dag_id, table.c.run_id == run.c.run_id))
        .where(table.c.dag_id == dag_id, table.c.task_id.in_(task_ids))
    )
    found: dict[str, dict[str, dict[int, Instance]]] = {
        run_id: {task_id: {} for task_id in task_ids} for run_id in run_ids
    }
    with own_session() as session:
        for part in batches(list(run_ids), batch_size=_AT_ONCE) if run_ids else ():
            for run_id, task_id, map_index, *values in session.execute(query.where(table.c.run_id.in_(part))):
                found[run_id][task_id][map_index] = Instance(*values)
    return found


def xcoms(
    dag_id: str, run_id: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], dict[int, Any]]:
    """Return what some tasks of a run pushed: `{(task id, key): {map index: value}}`, by map index.

    :param wanted: pairs of task id and key.
    """
    found: dict[tuple[str, str], dict[int, Any]] = {pair: {} for pair in wanted}
    if not found:
        return found
    with own_session() as session:
        rows = list(xcoms_of_run(session, dag_id, run_id, found))
    for row, value in _with_values(rows):
        found[row.task_id, row.key][row.map_index] = value
    return found


def _with_values(rows: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    for plain in (True, False):
        those = [row for row in rows if is_plain(row.key) is plain]
        yield from zip(those, values_of(those, plain=plain), strict=True)


def xcom(dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
    """Return what one instance pushed, `None` if nothing."""
    return xcoms_at(dag_id, run_id, task_id, map_index, [key]).get(key)


def xcoms_at(dag_id: str, run_id: str, task_id: str, map_index: int, keys: Collection[str]) -> dict[str, Any]:
    """Return what one instance pushed under some keys; those under which it pushed nothing are missing."""
    from sqlalchemy import select

    table = xcom_model().__table__
    query = select(*(table.c[name] for name in _OF_XCOM)).where(
        table.c.dag_id == dag_id,
        table.c.run_id == run_id,
        table.c.task_id == task_id,
        table.c.map_index == map_index,
        table.c.key.in_(list(keys)),
    )
    with own_session() as session:
        rows = session.execute(query).all()
    return {row.key: value for row, value in _with_values(rows)}


def pushed(dag_id: str, run_id: str, wanted: Collection[Source]) -> dict[Source, Any]:
    """Return the values of a plan's sources; what was not pushed is missing."""
    found = xcoms(dag_id, run_id, {(source.task_id, source.key) for source in wanted})
    return {source: value for source in wanted if (value := value_of(source, found)) is not None}
