"""The settings of a task among the XComs of another task, as rows of the metadata database.

They are plain JSON and don't go through the deployment's XCom backend, because an instance reads them every second,
and changes them only if nobody else has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, kept_of_xcom, timezone, xcom_model

if TYPE_CHECKING:
    from airflow_mapping_kit.steering.place import Place


def read(connection: Any, place: Place, key: str) -> Any:
    """Return the value of a key, `None` if there is none.

    :param connection: one to the metadata database, or a session.
    """
    anchor = {"dag_id": place.dag_id, "run_id": place.run_id, "task_id": place.anchor, "map_index": -1}
    kept = kept_of_xcom(connection, anchor, key)
    return None if kept is None else _value(kept)


def write(session: Any, place: Place, key: str, value: Any) -> None:
    """Replace the value of a key, in the transaction of a session that has locked the run.

    :raises sqlalchemy.exc.IntegrityError: if the run has no instance of the task that is to keep it.
    """
    from sqlalchemy import update

    query = update(_table()).where(*_of(place, key)).values(value=_kept(value), timestamp=timezone.utcnow())
    if session.execute(query).rowcount == 0:
        insert(session, place, key, value)


def insert(connection: Any, place: Place, key: str, value: Any) -> None:
    """Store a value if there is none.

    :raises sqlalchemy.exc.IntegrityError: if something is, or there is no instance of the task that is to keep it.
    """
    from airflow.models.dagrun import DagRun
    from sqlalchemy import insert as insert_into
    from sqlalchemy import select

    run = DagRun.__table__.c
    number = connection.execute(
        select(run.id).where(run.dag_id == place.dag_id, run.run_id == place.run_id)
    ).scalar_one()
    row = {
        "dag_run_id": number,
        "dag_id": place.dag_id,
        "run_id": place.run_id,
        "task_id": place.anchor,
        "map_index": -1,
        "key": key,
        "value": _kept(value),
        "timestamp": timezone.utcnow(),
    }
    connection.execute(insert_into(_table()).values(**row))


def delete(session: Any, place: Place, key: str) -> None:
    """Delete the value of a key."""
    from sqlalchemy import delete as delete_from

    session.execute(delete_from(_table()).where(*_of(place, key)))


def read_with_time(connection: Any, place: Place, key: str) -> tuple[bytes | None, float]:
    """Return the raw value of a key and the time of the database, in one query. Airflow 2.x."""
    from sqlalchemy import literal_column, select

    clock = literal_column(_CLOCKS[connection.dialect.name])
    kept = select(_table().c.value).where(*_of(place, key)).scalar_subquery()
    row = connection.execute(select(kept.label("value"), clock.label("now"))).one()
    return None if row.value is None else bytes(row.value), float(row.now)


def exchange(connection: Any, place: Place, key: str, before: bytes, value: Any) -> bool:
    """Replace a value by another if it has not changed, and return whether it was replaced. Airflow 2.x."""
    from sqlalchemy import update

    table = _table()
    query = update(table).where(*_of(place, key), table.c.value == before).values(value=_kept(value))
    return bool(connection.execute(query).rowcount)


# Seconds since 1970. SQLite has no other machines to agree with.
_CLOCKS = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "UNIX_TIMESTAMP(SYSDATE(6))",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}


def _table() -> Any:
    return xcom_model().__table__


def _of(place: Place, key: str) -> tuple[Any, ...]:
    columns = _table().c
    return (
        columns.dag_id == place.dag_id,
        columns.run_id == place.run_id,
        columns.task_id == place.anchor,
        columns.map_index == -1,
        columns.key == key,
    )


def _kept(value: Any) -> Any:
    """Return a value in the form of the column: bytes on Airflow 2, JSON on Airflow 3."""
    return value if AIRFLOW_3 else json.dumps(value).encode()


def _value(kept: Any) -> Any:
    try:
        return json.loads(kept) if isinstance(kept, bytes | memoryview) else kept
    except ValueError:  # somebody has written it by hand
        return None
