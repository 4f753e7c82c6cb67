"""What became of each file: the answer of `COPY INTO` beside what the table had loaded before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mapping_kit.exceptions import TargetError

Row = Mapping[str, Any]

LOADED = "LOADED"
PARTIALLY_LOADED = "PARTIALLY LOADED"
SKIPPED = "LOAD SKIPPED"
# What Snowflake writes beside a skipped file whose content it has loaded. A file that it skips because it is
# too old to tell reads differently.
LOADED_BEFORE = "loaded before"


def rows_by_name(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Row]:
    """Return the answer's row of each file that it names.

    The answer names a file by its whole address, `s3://bucket/landing/20130101/EWR.csv`; the statement by
    what follows the stage's: `20130101/EWR.csv`.

    :param rows: the rows of one statement; "no file" is a row without a file.
    :param names: the names that the statement had.
    :raises TargetError: if the answer names something else.
    """
    by_file = {str(row["file"]): row for row in rows if row.get("file") is not None}
    if not by_file:
        return {}
    if len(names) == 1 and len(by_file) == 1:
        return dict(zip(names, by_file.values(), strict=True))
    first = next(iter(by_file))
    stages = {first[: -len(name)] for name in names if first.endswith(name)}
    fitting = [stage for stage in stages if by_file.keys() <= {stage + name for name in names}]
    if len(fitting) != 1:
        raise TargetError(
            f"Snowflake's answer is about {', '.join(map(repr, by_file))}, which can't be told apart as "
            f"{', '.join(map(repr, names))}: no file was loaded; load one at a time"
        )
    return {file.removeprefix(fitting[0]): row for file, row in by_file.items()}


def before(history: Sequence[tuple[str, str]], name: str, row: Row | None) -> str | None:
    """Return how the last load of a file ended, `None` if the history doesn't know it.

    :param history: `(file, status)` of the table's loads, oldest first.
    :param row: the file's row of the answer, which has its whole address.
    """
    file = name if row is None else str(row["file"])
    found = [
        _status(status)
        for recorded, status in history
        if recorded in {file, name} or ("://" not in file and recorded.endswith("/" + name))
    ]
    return found[-1] if found else None


def outcome(row: Row | None, last: str | None, *, changed_is_error: bool) -> tuple[str, str]:
    """Return what became of a file, and why that is an error where it is: `("loaded", "")`.

    :param row: the file's row of the answer; `None` if it has none.
    :param last: how the file's last load ended, as `before` tells.
    :param changed_is_error: whether a file that was loaded before must not be loaded again.
    """
    status = "NO FILE" if row is None else _status(row["status"])
    said = "" if row is None else str(row.get("first_error") or "")
    if status == LOADED and row is not None and not row.get("errors_seen"):
        if changed_is_error and last in {LOADED, PARTIALLY_LOADED}:
            return "changed", (
                "it was loaded under this name before, and Snowflake would load it again: its content has "
                "changed, or the table was truncated, since. Delete the rows of the earlier file and use "
                "on_changed_file='load', or give the new file a name of its own"
            )
        return "loaded", ""
    if status in {SKIPPED, "NO FILE"}:
        if last == PARTIALLY_LOADED:
            return (
                "failed",
                "an earlier load took only a part of it: delete that part, and load it under a new name",
            )
        if last == LOADED or (status == SKIPPED and LOADED_BEFORE in said.lower()):
            return "already_loaded", ""
        return "failed", (
            f"Snowflake skipped it{': ' + said if said else ''}. The table's load history doesn't have it "
            "either, so it may be missing, or too old: after 64 days Snowflake can't tell whether a file is "
            "in the table"
        )
    return "failed", f"{status}{_place(row)}: {said or 'no reason given'}"


def _status(status: Any) -> str:
    return str(status).upper().replace("_", " ")


def _place(row: Row | None) -> str:
    if row is None:
        return ""
    places = {
        "first_error_line": "line",
        "first_error_character": "character",
        "first_error_column_name": "column",
    }
    found = [f"{word} {row[column]}" for column, word in places.items() if row.get(column) is not None]
    return f" at {', '.join(found)}" if found else ""
