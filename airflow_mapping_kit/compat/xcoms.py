"""XComs in Airflow's own table, whatever the deployment's backend does."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat.database import own_session
from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.sql.elements import TextClause


def plain_xcoms() -> Any:
    """Return the class that keeps XComs in Airflow's own table."""
    if AIRFLOW_3:
        from airflow.sdk import BaseXCom
    else:
        from airflow.models.xcom import BaseXCom
    return BaseXCom


def set_plain_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Store an XCom of a running task."""
    place = {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    if AIRFLOW_3:
        plain_xcoms().set(key, value, **place)
        return
    with own_session() as session:
        write_plain_xcom(session, place, key, value)


def write_plain_xcom(session: Any, place: Mapping[str, Any], key: str, value: Any) -> None:
    """Store an XCom of an instance in the transaction of a session, on Airflow 2.

    As `BaseXCom.set` does, in statements of text: each instance is a new process, and there SQLAlchemy takes 5 ms to
    make these few of objects.

    :param place: dag_id, run_id, task_id and map_index of the instance.
    :raises ValueError: if there is no such run any more: somebody has deleted it
    """
    from airflow.utils import timezone

    values = {**place, "key": key, "value": plain_xcoms().serialize_value(value), "at": timezone.utcnow()}
    delete, insert = _statements(session.get_bind().dialect)
    session.execute(delete, values)
    if session.execute(insert, values).rowcount != 1:
        raise ValueError(
            f"the DAG run {place['run_id']!r} of {place['dag_id']!r} was deleted while its task {place['task_id']!r} "
            f"[{place['map_index']}] was at work: trigger it anew"
        )


@lru_cache(maxsize=1)
def _statements(dialect: Any) -> tuple[TextClause, TextClause]:
    """Return what deletes an XCom and inserts it, in the words of a database: on MySQL `key` is one of its own."""
    from sqlalchemy import bindparam, text

    columns = plain_xcoms().__table__.c
    name = {column.name: dialect.identifier_preparer.quote(column.name) for column in columns}
    where = " AND ".join(
        f"{name[column]} = :{column}" for column in ("dag_id", "run_id", "task_id", "map_index", "key")
    )
    into = ("dag_id", "run_id", "task_id", "map_index", "key", "value", "timestamp", "dag_run_id")
    # Names of columns alone are put in.
    return text(f"DELETE FROM xcom WHERE {where}"), text(  # noqa: S608
        f"INSERT INTO xcom ({', '.join(name[column] for column in into)}) "  # noqa: S608
        "SELECT :dag_id, :run_id, :task_id, :map_index, :key, :value, :at, id "
        "FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id"
    ).bindparams(bindparam("value", type_=columns.value.type), bindparam("at", type_=columns.timestamp.type))
