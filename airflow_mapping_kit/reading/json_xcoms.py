"""What was pushed, read as plain JSON: for processes that must not interpret what workers made.

With pickled XComs, and with the forms that Airflow gives data frames and classes, to read a value is to run what
somebody else chose, to import what it needs, and to have room for what it becomes. Here a value is text of a bounded
size until it is JSON; what is more than that is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, xcom_model
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.reading.instances import value_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mapping_kit.reading.instances import Source

# All that a plan is made of: as text, and as a number of XComs.
MAX_BYTES = 4 * 2**20
MAX_XCOMS = 100_000
# What Airflow writes beside the data of an object, today and in its first form.
_MARKS = ('"__classname__"', '"__type"')
_TUPLE = "builtins.tuple"


def pushed(connection: Any, dag_id: str, run_id: str, wanted: Collection[Source]) -> dict[Source, Any]:
    """Return the values of a plan's sources; what was not pushed is missing.

    :param connection: one to the metadata database.
    :raises PlanError: if they are too large, or anything but JSON.
    """
    if not wanted:
        return {}
    from sqlalchemy import Text, cast, func, select

    columns = xcom_model().__table__.c
    # Airflow 3 has a column of JSON, which the driver would take for granted; Airflow 2 one of bytes.
    value = cast(columns.value, Text) if AIRFLOW_3 else columns.value
    names = {(source.task_id, source.key) for source in wanted}
    place = _of(columns, dag_id, run_id, names)
    number, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(func.length(value)), 0)).where(place)
    ).one()
    if size > MAX_BYTES or number > MAX_XCOMS:
        raise PlanError(
            f"What the plan is made of has {number:,} XComs of {size:,} bytes: the scheduler reads at most "
            f"{MAX_XCOMS:,} of {MAX_BYTES:,} bytes."
        )
    rows = connection.execute(
        select(columns.task_id, columns.key, columns.map_index, value.label("value"))
        .where(place)
        .order_by(columns.map_index)
    ).all()
    found: dict[tuple[str, str], dict[int, Any]] = {name: {} for name in names}
    for row in rows:
        found[row.task_id, row.key][row.map_index] = plain(row.value)
    return {source: each for source in wanted if (each := value_of(source, found)) is not None}


def is_pushed(connection: Any, dag_id: str, run_id: str, wanted: Collection[Source]) -> bool:
    """Tell whether anything was pushed of a plan's sources, without reading it.

    :param connection: one to the metadata database.
    """
    from sqlalchemy import select

    columns = xcom_model().__table__.c
    names = {(source.task_id, source.key) for source in wanted}
    query = select(columns.map_index).where(_of(columns, dag_id, run_id, names)).limit(1)
    return connection.execute(query).first() is not None


def _of(columns: Any, dag_id: str, run_id: str, names: Collection[tuple[str, str]]) -> Any:
    from sqlalchemy import and_, or_

    return and_(
        columns.dag_id == dag_id,
        columns.run_id == run_id,
        or_(*(and_(columns.task_id == task_id, columns.key == key) for task_id, key in names)),
    )


def plain(text: str | bytes | None) -> Any:
    """Return the value of an XCom as it is in the table.

    :raises PlanError: if it is anything but JSON. A tuple is a list that says so; it stays one.
    """
    if text is None:
        return None
    try:
        text = text if isinstance(text, str) else bytes(text).decode()
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"An XCom that the plan is made of is no JSON: {error}") from error
    return _without_objects(value) if any(mark in text for mark in _MARKS) else value


def _without_objects(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_objects(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("__classname__") == _TUPLE and isinstance(value.get("__data__"), list):
        return tuple(_without_objects(each) for each in value["__data__"])
    if "__classname__" in value or "__type" in value:
        raise PlanError(
            "An XCom that the plan is made of holds an object of "
            f"{value.get('__classname__', value.get('__type'))!r}, which is for the task to make."
        )
    return {name: _without_objects(each) for name, each in value.items()}
