"""XComs in Airflow's own table, whatever the deployment's backend does."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat.database import dialect_of, name_in_text, own_session, xcom_model
from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


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

    As `BaseXCom.set` does.

    :param place: dag_id, run_id, task_id and map_index of the instance.
    :raises ValueError: if there is no such run any more: somebody has deleted it
    """
    from airflow.utils import timezone

    statements = _statements(dialect_of(session))
    values = {
        **place,
        "key": key,
        "value": plain_xcoms().serialize_value(value),
        "timestamp": timezone.utcnow(),
    }
    session.execute(statements.delete, values)
    if session.execute(statements.insert, values).rowcount != 1:
        raise ValueError(
            f"the DAG run {place['run_id']!r} of {place['dag_id']!r} was deleted while its task {place['task_id']!r} "
            f"[{place['map_index']}] was at work: trigger it anew"
        )


def kept_of_xcom(connection: Any, place: Mapping[str, Any], key: str) -> Any:
    """Return what the table holds of an XCom, `None` if there is none: bytes on Airflow 2, plain data on Airflow 3.

    :param connection: one to the metadata database, or a session.
    :param place: dag_id, run_id, task_id and map_index of the instance.
    """
    return _whole(
        connection.execute(_statements(dialect_of(connection)).value, {**place, "key": key}).scalar()
    )


class KeptXCom(NamedTuple):
    """An XCom as the table has it, with what Airflow makes its value of."""

    task_id: str
    key: str
    map_index: int
    value: Any
    dag_id: str
    run_id: str


def xcoms_of_run(
    session: Any, dag_id: str, run_id: str, pairs: Collection[tuple[str, str]]
) -> Iterator[KeptXCom]:
    """Yield what some tasks of a run pushed, in the order of their map index.

    :param pairs: task ids, each with a key.
    """
    values = {
        f"{name}_{n}": one for n, pair in enumerate(pairs) for name, one in zip(_PAIR, pair, strict=True)
    }
    query = _statements(dialect_of(session)).of_pairs(len(pairs))
    for task_id, key, map_index, value, *run in session.execute(
        query, {"dag_id": dag_id, "run_id": run_id, **values}
    ):
        yield KeptXCom(task_id, key, map_index, _whole(value), *run)


_PAIR = ("task_id", "key")
_OF_ONE = ("dag_id", "run_id", "task_id", "map_index", "key")


def _whole(value: Any) -> Any:
    """Return bytes of what PostgreSQL's driver makes of a column of them."""
    return bytes(value) if isinstance(value, memoryview) else value


@lru_cache(maxsize=1)
def _statements(dialect: Any) -> _Statements:
    return _Statements(dialect)


class _Statements:
    """What a process that has just begun asks of the table of XComs, in the words of a database.

    Each instance is a process of its own, and there SQLAlchemy takes 1 to 2 ms for a statement of objects, and half of
    that for the types of columns. So they are text, into which nothing but names of tables and columns is put: on MySQL
    `key` has to be quoted, and tables may be in a schema.
    """

    def __init__(self, dialect: Any) -> None:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import bindparam, text

        table = xcom_model().__table__
        self._columns = columns = table.c
        self._table = name_in_text(dialect, table)
        self._names = {column.name: dialect.identifier_preparer.quote(column.name) for column in columns}
        one, into = self._where(*_OF_ONE), (*_OF_ONE, "value", "timestamp")
        self.delete = text(f"DELETE FROM {self._table} WHERE {one}")  # noqa: S608
        self.insert = text(
            f"INSERT INTO {self._table} ({self._list(into)}, dag_run_id) "  # noqa: S608
            f"SELECT {', '.join(f':{name}' for name in into)}, id "
            f"FROM {name_in_text(dialect, DagRun.__table__)} WHERE dag_id = :dag_id AND run_id = :run_id"
        ).bindparams(bindparam("timestamp", type_=columns.timestamp.type))
        self.value = self._select(("value",), one)

    def of_pairs(self, count: int) -> Any:
        """Return the query for so many tasks with a key each."""
        pairs = " OR ".join(
            " AND ".join(f"{self._names[name]} = :{name}_{n}" for name in _PAIR) for n in range(count)
        )
        where = f"{self._where('dag_id', 'run_id')} AND ({pairs}) ORDER BY {self._names['map_index']}"
        return self._select(KeptXCom._fields, where)

    def _select(self, names: Sequence[str], where: str) -> Any:
        from sqlalchemy import text

        query = text(f"SELECT {self._list(names)} FROM {self._table} WHERE {where}")  # noqa: S608
        # Airflow 3 has a column of JSON, of which drivers make one thing or another.
        return query.columns(*(self._columns[name] for name in names)) if AIRFLOW_3 else query

    def _list(self, names: Sequence[str]) -> str:
        return ", ".join(self._names[name] for name in names)

    def _where(self, *names: str) -> str:
        return " AND ".join(f"{self._names[name]} = :{name}" for name in names)
