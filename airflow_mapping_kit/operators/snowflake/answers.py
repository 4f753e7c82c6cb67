"""What became of each file: the answer of `COPY INTO` beside what the table had loaded before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.sequences import shown

Row = Mapping[str, Any]

LOADED = "LOADED"
PARTIALLY_LOADED = "PARTIALLY LOADED"
SKIPPED = "LOAD SKIPPED"
# What Snowflake writes beside a skipped file whose content it has loaded. A file that it skips because it is
# too old to tell reads differently.
LOADED_BEFORE = "loaded before"

_ADDRESS = re.compile(r"s3[a-z]*://([^/]+)/(.*)", re.DOTALL)


class Load(NamedTuple):
    """How an earlier load of a file ended.

    :param whole: whether the history names the file by its whole address. Where it doesn't, it may be a file
        of another stage: that is enough to refuse a file, and not enough to call it loaded.
    """

    status: str
    whole: bool


def rows_by_key(
    rows: Sequence[Row], names: Mapping[str, str], *, bucket: str | None = None
) -> dict[str, Row]:
    """Return the answer's row of each key that it is about.

    The answer names a file by its whole address, `s3://bucket/landing/20130101/EWR.csv`. Where that is not
    the key's, the stage is elsewhere than the keys: another file was loaded than the one that was asked for.

    :param rows: the rows of one statement; "no file" is a row without a file.
    :param names: what the statement called each key: what follows the stage's URL.
    :param bucket: the bucket that the keys are in, `None` where nobody said.
    :raises TargetError: if the answer is about something else.
    """
    by_key = {key: key for key in names}
    by_name = {name: key for key, name in names.items()}
    found: dict[str, Row] = {}
    for row in rows:
        if row.get("file") is None:
            continue
        place, path = _address(str(row["file"]))
        known = by_name if place is None else by_key
        key = known.get(path, known.get(unquote(path)))
        if key is None or key in found or (bucket is not None and place not in {None, bucket}):
            raise TargetError(
                f"Snowflake's answer is about {shown(row['file'])}, which isn't one of the files that were asked "
                f"for{f' in the bucket {bucket!r}' if bucket else ''}: {shown(list(names))}. No file was loaded. "
                f"Look at the stage's URL: it has to be the keys' bucket and stage_prefix, such as "
                f"s3://bucket/landing/ with stage_prefix='landing/'"
            )
        found[key] = row
    return found


def before(history: Sequence[tuple[str, str]], key: str, name: str, row: Row | None) -> Load | None:
    """Return how the last load of a file ended, `None` if the history doesn't know it.

    :param history: `(file, status)` of the table's loads, oldest first.
    :param name: what the statement called the key.
    :param row: the file's row of the answer, which has its bucket.
    """
    bucket = None if row is None else _address(str(row["file"]))[0]
    last = None
    for file, status in history:
        place, path = _address(file)
        whole = place is not None and place == bucket and key in {path, unquote(path)}
        if whole or (place is None and name in {path, unquote(path)}):
            last = Load(_status(status), whole)
    return last


def outcome(row: Row | None, last: Load | None, *, changed_is_error: bool) -> tuple[str, str]:
    """Return what became of a file, and why that is an error where it is: `("loaded", "")`.

    :param row: the file's row of the answer; `None` if it has none.
    :param last: how the file's last load ended, as `before` tells.
    :param changed_is_error: whether a file that was loaded before must not be loaded again.
    """
    if row is None:
        return "failed", (
            "Snowflake said nothing of it, so it doesn't count as loaded. It may be missing or empty, or the "
            "stage has a SIZE_LIMIT. Look for its rows in the table. If they are there, move the file by hand"
        )
    status = _status(row["status"])
    if status == LOADED and not row.get("errors_seen"):
        if changed_is_error and last is not None and last.status in {LOADED, PARTIALLY_LOADED}:
            return "changed", (
                "it was loaded under this name before, and Snowflake would load it again: its content has "
                "changed, or the table was truncated, since. Delete the rows of the earlier file and use "
                "on_changed_file='load', or give the new file a name of its own"
            )
        return "loaded", ""
    said = str(row.get("first_error") or "")
    if status == SKIPPED:
        return _skipped(said, last)
    return "failed", f"{status}{_place(row)}: {said or 'no reason given'}"


def _skipped(said: str, last: Load | None) -> tuple[str, str]:
    if last is not None and last.status == PARTIALLY_LOADED:
        return (
            "failed",
            "an earlier load took only a part of it: delete that part, and load the file under a new name",
        )
    if LOADED_BEFORE in said.lower() or last == Load(LOADED, whole=True):
        return "already_loaded", ""
    return "failed", (
        f"Snowflake skipped it{': ' + said if said else ''}. The table's load history doesn't have it either, so "
        "it may be missing, or too old: after 64 days Snowflake can't tell whether a file is in the table"
    )


def _address(file: str) -> tuple[str | None, str]:
    """Return the bucket and the key of an address; no bucket where it isn't whole."""
    found = _ADDRESS.fullmatch(file)
    return (found[1], found[2]) if found else (None, file)


def _status(status: Any) -> str:
    return str(status).upper().replace("_", " ")


def _place(row: Row) -> str:
    places = {
        "first_error_line": "line",
        "first_error_character": "character",
        "first_error_column_name": "column",
    }
    found = [f"{word} {row[column]}" for column, word in places.items() if row.get(column) is not None]
    return f" at {', '.join(found)}" if found else ""
