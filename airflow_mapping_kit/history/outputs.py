"""What a history asks of what instances left: results of batches, records, checkpoints. Each question is one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, xcom_model
from airflow_mapping_kit.history.tables import INSTANCE, instances, xcom_columns
from airflow_mapping_kit.reading.records import RECORD_KEY

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mapping_kit.history.tables import Tables


def of_failed(
    tables: Tables,
    run_ids: Collection[str],
    keys: Collection[str],
    indexes: Collection[int] | None = None,
    *,
    plain: bool = False,
) -> list[Any]:
    """Return what instances pushed that failed, under some keys.

    :param plain: whether it was written past the deployment's backend.
    """
    from sqlalchemy import and_, select

    pushed, columns = xcom_model().__table__, instances()
    same = and_(*(pushed.c[name] == columns[name] for name in ("dag_id", "task_id", "run_id", "map_index")))
    query = (
        select(*xcom_columns(pushed.c, plain=plain), columns.try_number, columns.max_tries)
        .where(same, *tables.of(run_ids), columns.state == "failed", pushed.c.key.in_(list(keys)))
        # Said of both tables, so that each finds its own index.
        .where(pushed.c.dag_id == tables.dag_id, pushed.c.run_id.in_(list(run_ids)))
    )
    if indexes is not None:
        query = query.where(columns.map_index.in_(sorted(indexes)))
    return tables.all(query)


def of_partly_done(
    tables: Tables, run_ids: Collection[str], keys: Collection[str], states: Collection[str]
) -> list[Any]:
    """Return instances that succeeded, each with what it pushed, where that names an item in one of some states."""
    from sqlalchemy import and_, or_, select

    pushed, columns = xcom_model().__table__, instances()
    same = and_(*(pushed.c[name] == columns[name] for name in ("dag_id", "task_id", "run_id", "map_index")))
    # As all databases write it, in a list of results and in a summary.
    texts = [text for state in states for text in (f'"state": "{state}"', f'"{state}": ')]
    named = or_(*(_has(tables, pushed.c.value, text) for text in texts))
    value, *_ = reversed(xcom_columns(pushed.c))
    return tables.all(
        select(*(columns[name] for name in INSTANCE), pushed.c.dag_id, pushed.c.key, value)
        .where(same, *tables.of(run_ids), columns.state == "success", pushed.c.key.in_(list(keys)))
        .where(pushed.c.dag_id == tables.dag_id, pushed.c.run_id.in_(list(run_ids)), named)
    )


def recorded(tables: Tables, run_ids: Collection[str]) -> list[Any]:
    """Return what instances recorded when they began, with when their last try began."""
    from sqlalchemy import and_, select

    pushed, columns = xcom_model().__table__, instances()
    same = and_(*(pushed.c[name] == columns[name] for name in ("dag_id", "task_id", "run_id", "map_index")))
    return tables.all(
        select(*xcom_columns(pushed.c, plain=True), columns.try_number, columns.start_date)
        .where(same, *tables.of(run_ids), pushed.c.key == RECORD_KEY)
        .where(columns.state.in_(["success", "failed"]))
        .where(pushed.c.dag_id == tables.dag_id, pushed.c.run_id.in_(list(run_ids)))
    )


def checkpoints(tables: Tables, run_ids: Collection[str], places: Collection[tuple[str, str]]) -> list[Any]:
    """Return what is kept of batches among the XComs of tasks, which Airflow 2 does.

    :param places: those tasks, each with what the keys begin with.
    """
    from sqlalchemy import and_, or_, select

    if not places:
        return []
    columns = xcom_model().__table__.c
    wanted = (
        and_(columns.task_id == task_id, columns.key.startswith(prefix, autoescape=True))
        for task_id, prefix in places
    )
    return tables.all(
        select(*xcom_columns(columns)).where(
            columns.dag_id == tables.dag_id, columns.run_id.in_(list(run_ids)), or_(*wanted)
        )
    )


def stored(
    tables: Tables, run_ids: Collection[str], task_ids: Collection[str], indexes: Collection[int], prefix: str
) -> list[Any]:
    """Return what instances keep in their task state store, which Airflow 3.3 has, in the order of the keys."""
    from airflow.models.task_state_store import TaskStateStoreModel
    from sqlalchemy import or_, select

    columns = TaskStateStoreModel.__table__.c
    return tables.all(
        select(columns.run_id, columns.task_id, columns.map_index, columns.key, columns.value).where(
            columns.dag_id == tables.dag_id,
            columns.run_id.in_(list(run_ids)),
            columns.task_id.in_(list(task_ids)),
            columns.map_index.in_(sorted(indexes)),
            or_(columns.key == prefix, columns.key.startswith(f"{prefix}/", autoescape=True)),
        )
    )


def _has(tables: Tables, value: Any, text: str) -> Any:
    """Return whether the value of an XCom has a text in it, for the database to look."""
    from sqlalchemy import LargeBinary, Text, cast, func, literal

    if AIRFLOW_3:
        return cast(value, Text).contains(text, autoescape=True)
    # Airflow 2 has bytes, which SQLite compares with no pattern, and PostgreSQL has no `instr`.
    if tables.session.get_bind().dialect.name == "postgresql":
        return value.op("LIKE")(literal(f"%{text}%".encode(), LargeBinary))
    return func.instr(value, literal(text.encode(), LargeBinary)) > 0
