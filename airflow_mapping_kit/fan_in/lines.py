"""The rows of a fan-in as lines of JSON, in the same form as the files of its instances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.results import Result


def line_of(row: Result, *, values: bool) -> str:
    """Return a row as a line of a part, with its map index.

    :param values: whether it has the value.
    """
    line: dict[str, Any] = {
        "key": row["key"],
        "state": row["state"],
        "value": row["value"],
        "error": row["error"],
        "tries": row["try_number"],
        "duration_s": row["duration_s"],
        "map_index": row["map_index"],
    }
    if "item" in row:
        line["item"] = row["item"]
    if row["label"] != row["key"]:
        line["label"] = row["label"]
    if not values:
        del line["value"]
    return json.dumps(line, separators=(",", ":"), allow_nan=False)


def of_part(line: Mapping[str, Any], map_index: int | None, *, values: bool, counted: bool = True) -> Result:
    """Return the row of a line of a part, with its value as plain JSON.

    :param map_index: that of the instance whose part it is; `None` where each line says its own.
    :param values: whether the row has a value.
    :param counted: whether its number is one within the whole plan.
    """
    row: Any = {
        "key": line["key"],
        "label": line.get("label", line["key"]),
        "map_index": line["map_index"] if map_index is None else map_index,
        "state": line["state"],
        "try_number": line["tries"],
        "duration_s": line["duration_s"],
        "value": plain(line.get("value"), set()),
        "error": line["error"],
    }
    if "item" in line and counted:
        row["item"] = line["item"]
    if not values:
        del row["value"]
    return row  # type: ignore[no-any-return]


def without_connection(uri: str, beside: str) -> str:
    """Return a URI without its Airflow connection, for other programs: `s3://aws@lake/a` gives `s3://lake/a`.

    A URI with another connection than `beside` keeps it, because nobody could find it out later.
    """
    conn_id = _connection(uri)
    return uri.replace(f"{conn_id}@", "", 1) if conn_id and conn_id == _connection(beside) else uri


def with_connection(uri: str, beside: str) -> str:
    """Return a URI with the Airflow connection of another URI, if it has none itself."""
    conn_id, (scheme, mark, rest) = _connection(beside), uri.partition("://")
    return f"{scheme}://{conn_id}@{rest}" if mark and conn_id and not _connection(uri) else uri


def _connection(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[0]
