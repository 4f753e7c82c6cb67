"""The values of XComs, from what the table holds of them: many at a time, and none takes the others down."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import custom_xcom_backend, from_xcom_json, plain_xcoms, xcom_backend
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

# A backend of the deployment's own waits for a store. Each thread may take a connection of Airflow's database too.
_AT_ONCE = 16
# What Airflow's serialization says of an object: its class, and what it is made of.
_CLASS, _DATA = "__classname__", "__data__"


def values_of(rows: Sequence[Any], *, plain: bool = False) -> list[Any]:
    """Return the values of rows of the table that holds XComs, through the deployment's backend.

    Of an object that Airflow would not make again, because its class is not allowed or not to be found here, the
    plain data it was made of; `None` if there is no such.

    :param rows: whatever has the XCom's `value`, as the table has it.
    :param plain: whether they were written past the backend.
    """
    if plain or len(rows) <= 1 or not custom_xcom_backend():
        return [_value(row, plain=plain) for row in rows]
    with ThreadPoolExecutor(min(_AT_ONCE, len(rows))) as threads:
        return list(threads.map(_value, rows))


def _value(row: Any, *, plain: bool = False) -> Any:
    try:
        return (plain_xcoms() if plain else xcom_backend()).deserialize_value(row)
    except Exception as error:  # noqa: BLE001 -- whatever a class or a backend raises, the others are there
        log.warning(
            "A value cannot be read as it was returned, and is shown by its plain data: %s",
            said(error_of(error)),
        )
        return _data(_json(row.value))


def _json(value: Any) -> Any:
    """Return what a row of the table holds, as JSON; Airflow 2 keeps bytes."""
    if not isinstance(value, bytes):
        return value
    try:
        return json.loads(value)
    except ValueError:  # pickled
        return None


def _data(node: Any) -> Any:
    """Return JSON of Airflow's serialization with every object in it made again that can be."""
    if isinstance(node, list):
        return [_data(part) for part in node]
    if not isinstance(node, dict):
        return node
    if _CLASS not in node:
        return {name: _data(part) for name, part in node.items()}
    try:
        return from_xcom_json(json.dumps(node))
    except Exception:  # noqa: BLE001 -- not allowed, not found, or whatever its class says
        return _data(node.get(_DATA))
