"""What became of an item as a line of JSON, and back."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import from_xcom_json
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.results import SKIPPED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mapping_kit.results import ItemResult, ItemRow

log = logging.getLogger(__name__)

# What a later try need not do again.
DONE = (SUCCESS, SKIPPED)
# What Airflow's serialization says of an object.
_CLASS = "__classname__"
_json = json.JSONEncoder(separators=(",", ":")).encode


class Returned(NamedTuple):
    """What an item returned, and the JSON that an XCom has of it: whoever made sure of that need not do it again."""

    value: Any
    text: str


class Line(NamedTuple):
    """A row as it is kept.

    :param done: whether a later try need not work on its item.
    """

    text: str
    done: bool


def text_of(item: int, result: ItemResult, value: str, label: str | None) -> str:
    """Return a row as a line of ASCII, without the newline.

    :param item: the number of the item in the plan.
    :param value: the JSON of what it returned, as an XCom has it.
    :param label: what the item is called, where that is not its key.
    """
    error = "null" if result["error"] is None else _json(result["error"])
    duration = "null" if result["duration_s"] is None else repr(result["duration_s"])
    named = "" if label is None else f',"label":{_json(label)}'
    return (
        f'{{"item":{item},"key":{_json(result["key"])},"state":"{result["state"]}","value":{value},'
        f'"error":{error},"tries":{result["tries"]},"duration_s":{duration}{named}}}'
    )


def row_of(line: str | bytes, *, values: bool = True) -> ItemRow:
    """Return the row that a line holds.

    :param values: whether the value is wanted, which may be an object that Airflow makes; else it is `None`.
    """
    row: ItemRow = json.loads(line)
    if not values:
        row["value"] = None
    elif row["value"] is not None and _CLASS in (line if isinstance(line, str) else line.decode()):
        row["value"] = _object(row["value"])
    return row


def once(rows: Iterable[ItemRow]) -> Iterator[ItemRow]:
    """Yield the first row of each item: of two processes that worked on an instance both may have saved some."""
    seen = bytearray()
    for row in rows:
        byte, bit = divmod(row["item"], 8)
        if byte >= len(seen):
            seen.extend(bytes(byte + 1 - len(seen)))
        if not seen[byte] >> bit & 1:
            seen[byte] |= 1 << bit
            yield row


def _object(value: Any) -> Any:
    try:
        return from_xcom_json(json.dumps(value))
    except Exception as error:  # noqa: BLE001 -- not allowed any more, not found, or whatever its class says
        log.warning(
            "A value cannot be read as it was returned, and is shown by its plain data: %s",
            said(error_of(error)),
        )
        return value
