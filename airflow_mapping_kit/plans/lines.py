"""An item as a line of JSON, and back."""

from __future__ import annotations

import json
from typing import Any

from airflow_mapping_kit.compat import from_xcom_json, xcom_json
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line

_compact = json.JSONEncoder(separators=(",", ":")).encode
_plain = json.JSONDecoder().raw_decode
# What begins so is in the form that Airflow gives to what plain JSON can't hold, such as a datetime.
AIRFLOWS = " "


def line_of(item: Any, number: int) -> str:
    """Return an item as a line of ASCII, without the newline: plain JSON, or the form that an XCom would have.

    :param number: which item it is, for the error.
    :raises PlanError: if an XCom couldn't hold it either.
    """
    try:
        return _compact(item)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return AIRFLOWS + xcom_json(item)
    except Exception as error:
        raise PlanError(
            f"item {number:,} of the plan, {shown(item)}, can't be passed to another task: {one_line(error)}. Pass "
            "text, numbers, booleans, None, and lists and dicts of them."
        ) from error


def item_of(line: str | bytes) -> Any:
    """Return the item that a line holds.

    :raises Exception: of any kind, if the line has no item.
    """
    text = line if isinstance(line, str) else line.decode()
    if text.startswith(AIRFLOWS):
        return from_xcom_json(text[1:])
    item, end = _plain(text)
    if end != len(text):
        raise ValueError(f"there is more after its character {end:,}")
    return item
