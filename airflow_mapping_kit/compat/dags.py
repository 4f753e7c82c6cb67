"""DAGs as the database has them: what is read where there are no DAG files."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_mapping_kit.compat.names import AIRFLOW_3


class DagRow(NamedTuple):
    """What Airflow says of a DAG beside what is in it.

    :param broken: whether its file could not be imported when it was last tried.
    :param gone: whether its file has it no more.
    """

    dag_id: str
    name: str
    paused: bool
    broken: bool
    gone: bool


def dag_rows(dag_ids: Any, session: Any) -> list[DagRow]:
    """Return what the database has of some DAGs, by id.

    :param dag_ids: a collection of ids, or a query for them.
    """
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    rows = session.scalars(select(DagModel).where(DagModel.dag_id.in_(dag_ids)).order_by(DagModel.dag_id))
    return [
        DagRow(
            dag_id=row.dag_id,
            name=row.dag_display_name or row.dag_id,
            paused=bool(row.is_paused),
            broken=bool(row.has_import_errors),
            gone=bool(row.is_stale) if AIRFLOW_3 else not row.is_active,
        )
        for row in rows
    ]


def dag_mark(dag_id: str, session: Any) -> str | None:
    """Return what changes with the DAG as it is stored, `None` where it is not stored."""
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import select

    query = select(SerializedDagModel.dag_hash).where(SerializedDagModel.dag_id == dag_id)
    if AIRFLOW_3:
        # One for each version of the DAG.
        query = query.order_by(SerializedDagModel.created_at.desc()).limit(1)
    mark: str | None = session.scalar(query)
    return mark


def newest_dag(dag_id: str, session: Any) -> Any:
    """Return a DAG as it was last stored, `None` where it is not stored."""
    from airflow.models.serialized_dag import SerializedDagModel

    row = SerializedDagModel.get(dag_id, session=session)
    return row and row.dag


def all_dag_ids(session: Any) -> list[str]:
    """Return the ids of all DAGs that the database has."""
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    return list(session.scalars(select(DagModel.dag_id)))


def dag_marks(dag_ids: Any, session: Any) -> dict[str, str]:
    """Return of each of some DAGs that are stored what changes with it."""
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import and_, func, select

    columns = SerializedDagModel.__table__.c
    query = select(columns.dag_id, columns.dag_hash).where(columns.dag_id.in_(dag_ids))
    if AIRFLOW_3:
        newest = (
            select(columns.dag_id, func.max(columns.created_at).label("created_at"))
            .where(columns.dag_id.in_(dag_ids))
            .group_by(columns.dag_id)
            .subquery()
        )
        same = and_(columns.dag_id == newest.c.dag_id, columns.created_at == newest.c.created_at)
        query = select(columns.dag_id, columns.dag_hash).join_from(SerializedDagModel.__table__, newest, same)
    return {row.dag_id: row.dag_hash for row in session.execute(query)}


def may_be_mapped(dag_ids: Any, session: Any) -> set[str]:
    """Return which of some DAGs may have mapped tasks or groups: none of the others has, and none of them is read."""
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import Text, cast, or_, select

    columns = SerializedDagModel.__table__.c
    text = cast(columns.data, Text)
    # Compressed ones can't be searched. Databases differ in the blanks that they leave in JSON.
    mapped = [columns.data.is_(None), columns.data_compressed.is_not(None)]
    mapped += [text.contains(f'is_mapped":{blank}true', autoescape=True) for blank in ("", " ")]
    query = select(columns.dag_id).where(columns.dag_id.in_(dag_ids), or_(*mapped)).distinct()
    return set(session.scalars(query))
