"""The matrix of a DAG's partitions as the page gets it: a letter a cell, and what has to be told of each beside it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import PAGES
from airflow_mapping_kit.partitions.presets import PRESETS
from airflow_mapping_kit.steering.change import steered
from airflow_mapping_kit.ui.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mapping_kit.compat import DagRow
    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.history.work import Run
    from airflow_mapping_kit.ui.who import Rights

# The cells whose try is told, the worst first; the page asks for single ones by `piece`.
_TOLD = 4_000
_WORST_FIRST = "fbuhtwqso"
# What went wrong, by how often.
_ERRORS, _CELLS = 50, 20_000
# An answer of so many cells, or so many characters of names, is one that no browser shows any more.
_MOST_CELLS, _MOST_TEXT = 2_000_000, 8_000_000
_MOST_SAID = 300


def matrix(found: History, row: DagRow, may: Rights) -> dict[str, Any]:
    """Return the matrix of a history.

    :param may: what the user may do; errors are left out for who may not read XComs.
    :return: what `GET dags/<dag>/partitions` answers with, but for the selection and the time it took.
    :raises Refused: 400, if it is larger than a page can show.
    """
    _check_size(found)
    numbers = {run.id: number for number, run in enumerate(found.runs)}
    notes = list(found.notes)
    if row.gone:
        notes.insert(0, "The file of this DAG has it no more: this is what its runs have left.")
    if row.broken:
        notes.insert(0, "The file of this DAG can't be imported now: this is the DAG as it was before.")
    errors = found.errors if may.errors else []
    if len(errors) > _ERRORS:
        notes.append(f"{len(errors) - _ERRORS:,} more errors are not shown: choose a run or a part.")
    return {
        "dag": {"id": row.dag_id, "name": row.name, "paused": row.paused},
        "task": {
            "name": found.target.name,
            "display": found.target.display,
            "tasks": list(found.target.task_ids),
            "batched": found.target.batched is not None,
            "collected": found.target.collected,
            "steered": steered(found.target.mapped.dag, found.target.task_ids),
        },
        "tasks": [{"name": one.name, "display": one.display} for one in found.targets],
        "can": may._asdict(),
        "links": PAGES,
        "dimensions": [
            {"name": one.name, "values": one.values, "cadence": one.cadence} for one in found.dimensions
        ],
        "cells": found.letters.decode(),
        "counts": found.counts,
        "attempts": dict(_attempts(found, numbers)),
        "errors": list(_errors(errors)),
        "runs": [_run(run) for run in found.runs],
        "notes": notes,
        "run": found.run_id,
    }


def ranges(cells: Iterable[int]) -> list[list[int]]:
    """Return numbers in rising order as first and last of each unbroken row: `[1, 2, 3, 7]` is `[[1, 3], [7, 7]]`."""
    found: list[list[int]] = []
    for cell in cells:
        if found and found[-1][1] == cell - 1:
            found[-1][1] = cell
        else:
            found.append([cell, cell])
    return found


def what_of(conf: Any) -> str:
    """Return in short what a run was triggered to load: of the form of `reload_params` the dates and the values."""
    mode = conf.get("mode") if isinstance(conf, dict) else None
    if not isinstance(mode, str) or (mode != "custom" and mode not in PRESETS):
        return ""
    dates = (
        [mode.replace("_", " ")]
        if mode in PRESETS
        else [str(conf[name]) for name in ("start_date", "end_date") if isinstance(conf.get(name), str)]
    )
    chosen = [", ".join(map(str, value)) for value in conf.values() if isinstance(value, list)]
    select = conf.get("select")
    said = [" … ".join(dict.fromkeys(dates)), *chosen, *([select] if isinstance(select, str) else [])]
    text = " × ".join(one for one in said if one)
    return text if len(text) <= _MOST_SAID else f"{text[: _MOST_SAID - 1]}…"


def _check_size(found: History) -> None:
    text = sum(len(value) for one in found.dimensions for value in one.values)
    if len(found) > _MOST_CELLS or text > _MOST_TEXT:
        raise Refused(
            400,
            f"{found.target.name} has {len(found):,} partitions with {text:,} characters of names: that is more than "
            f"a page can show. Look at one run, or use `mapping-kit partitions {found.dag_id}`.",
        )


def _attempts(found: History, numbers: dict[str, int]) -> Iterator[tuple[int, list[Any]]]:
    """Yield the run, map index, tries, seconds and task of cells, the worst first."""
    letters = found.letters.decode().lower()
    by_letter: dict[str, list[int]] = {letter: [] for letter in _WORST_FIRST}
    for cell, letter in enumerate(letters):
        if letter in by_letter and len(by_letter[letter]) < _TOLD:
            by_letter[letter].append(cell)
    told = islice((cell for letter in _WORST_FIRST for cell in by_letter[letter]), _TOLD)
    for cell in told:
        one = found.attempt(cell)
        if one is not None:
            seconds = None if one.seconds is None else round(one.seconds, 3)
            yield cell, [numbers[one.run.id], one.map_index, one.try_number, seconds, one.task_id]


def _errors(groups: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the errors, of the most frequent ones not more cells than have room."""
    room = _CELLS
    for group in groups[:_ERRORS]:
        cells = group.cells[:room]
        room -= len(cells)
        yield {"type": group.type, "message": group.message, "cells": cells, "n": len(group.cells)}


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "state": run.state,
        "start": run.started.isoformat(),
        "end": run.ended and run.ended.isoformat(),
        "date": run.date and run.date.isoformat(),
        "what": what_of(run.conf),
        "counts": run.counts,
        "unread": run.unread,
    }
