"""What went wrong with the partitions that are failed now, grouped by what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.history import outputs
from airflow_mapping_kit.reading import json_xcoms
from airflow_mapping_kit.reading.records import RECORD_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.history.tables import Tables

_KILLED = "no exception recorded"
_NAMED = re.compile(r"\b[\w-]+=[^/\s:]+(/[\w-]+=[^/\s:]+)+")
# Airflow's own texts tell instances apart by it.
_INDEX = re.compile(r"\bmap_index=\d+")
_LENGTH = 600
# So many indexes are named to the database; of more all that failed are read.
_NAMED_INDEXES = 2000


@dataclass(frozen=True)
class ErrorGroup:
    """An error, and the cells whose newest try ended with it.

    :param type: the exception's type, `None` where it left none behind.
    """

    type: str | None
    message: str
    cells: list[int]


def records(tables: Tables, failed: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    """Return what failed instances have recorded of their error, by run and map index.

    :param failed: the runs and map indexes.
    """
    wanted = set(failed)
    if not wanted:
        return {}
    indexes = {index for _, index in wanted}
    few = indexes if len(indexes) <= _NAMED_INDEXES else None
    rows = outputs.of_failed(tables, {run_id for run_id, _ in wanted}, [RECORD_KEY], few, plain=True)
    found: dict[tuple[str, int], Any] = {}
    for row in rows:
        record = _plain(row.value)
        # A record of an earlier try says nothing about this one.
        if isinstance(record, dict) and record.get("try_number") == row.try_number:
            place = row.run_id, row.map_index
            if record.get("error") or place not in found:
                found[place] = record.get("error")
    return found


def _plain(value: Any) -> Any:
    try:
        return json_xcoms.plain(value)
    except PlanError:
        return None


def grouped(errors: Iterable[tuple[int, Any]]) -> list[ErrorGroup]:
    """Return groups of cells with one error, the largest first.

    :param errors: cells, each with the error that is kept of it, if one is.
    """
    groups: dict[tuple[str | None, str], list[int]] = {}
    for cell, error in errors:
        groups.setdefault(_said(error), []).append(cell)
    return [
        ErrorGroup(kind, message, cells)
        for (kind, message), cells in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]


def _said(error: Any) -> tuple[str | None, str]:
    if isinstance(error, str):
        error = {"type": None, "message": error}
    if not isinstance(error, dict):
        return None, "no error is kept: the log has it"
    message = str(error.get("message") or "")
    if message == _KILLED:
        return None, "the process was killed, it left no error"
    kind = error.get("type")
    # What names the piece itself would make a group of each.
    return kind if isinstance(kind, str) else None, _INDEX.sub(
        "map_index=…", _NAMED.sub("<partition>", message)
    )[:_LENGTH]
