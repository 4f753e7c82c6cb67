"""The partitions of a DAG as somebody looks for them: how many are not loaded, where, since when, why."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import failures
from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.seen import COMING, FAILED_STATES, LOADED, MISSING, NOT_LOADED
from airflow_mapping_kit.cli.where import where
from airflow_mapping_kit.partitions.selection import rectangles_of, selection_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.seen import Seen, Wrong
    from airflow_mapping_kit.partitions.selection import Selection

_COLUMNS = (
    "key", "state", "older_data", "run_id", "task", "map_index", "try_number", "duration_s", "error_type",
    "error_message",
)  # fmt: skip
# So many dimensions are columns of their own.
_MOST_DIMENSIONS = 4
# What is longer, or in more places, says less than numbers do.
_ERRORS, _PLACES, _LENGTH, _MOST_PLACED = 10, 3, 120, 20_000
# Of many places those are said that have a fifth of all at least.
_PART = 5
_HERE_AND_THERE = "here and there"


def print_partitions(
    seen: Seen, cells: Sequence[int], selection: Selection, *, filtered: bool, form: str
) -> None:
    """Print what became of some partitions.

    :param filtered: whether all of them are listed, not only those that are not loaded.
    """
    if form == output.JSON:
        output.as_json(_answer(seen, cells, selection))
    elif form == output.CSV:
        errors = _errors(seen)
        output.as_csv(_COLUMNS, (_cells_of(_row(seen, cell, errors)) for cell in cells))
    else:
        _print_table(seen, cells, selection, filtered=filtered)


def _answer(seen: Seen, cells: Sequence[int], selection: Selection) -> dict[str, Any]:
    errors = _errors(seen)
    return {
        "dag_id": seen.dag_id,
        "task": seen.task,
        "run_id": seen.run_id,
        "selection": str(selection),
        "dimensions": [{"name": one.name, "cadence": one.cadence} for one in seen.dimensions],
        "total": len(cells),
        "states": seen.counts(cells),
        "partitions": [_row(seen, cell, errors) for cell in cells],
        "errors": [
            {"type": one.type, "message": one.message, "partitions": [seen.key(cell) for cell in one.cells]}
            for one in seen.wrong(cells)
        ],
        "notes": list(seen.notes),
    }


def _errors(seen: Seen) -> dict[int, Wrong]:
    return {cell: one for one in seen.errors for cell in one.cells}


def _row(seen: Seen, cell: int, errors: dict[int, Wrong]) -> dict[str, Any]:
    tried, wrong = seen.tried(cell), errors.get(cell)
    return {
        "key": seen.key(cell),
        "partition": seen.partition(cell),
        "state": seen.state(cell),
        "older_data": seen.has_older(cell),
        "run_id": tried and tried.run_id,
        "task": tried and tried.task_id,
        "map_index": tried and tried.map_index,
        "try_number": tried and tried.try_number,
        "duration_s": tried and tried.seconds,
        "error": None if wrong is None else {"type": wrong.type, "message": wrong.message},
    }


def _cells_of(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"] or {"type": None, "message": None}
    return {**row, "error_type": error["type"], "error_message": error["message"]}


def _print_table(seen: Seen, cells: Sequence[int], selection: Selection, *, filtered: bool) -> None:
    output.say(_headline(seen, cells, selection))
    for note in seen.notes:
        output.say(note)
    open_ = [cell for cell in cells if seen.state(cell) not in LOADED]
    if len(open_) > 1 and not _print_places(seen, open_):
        _print_numbers(seen, cells)
    listed = cells if filtered else open_
    if listed:
        output.say()
        _print_list(seen, _worst_first(seen, listed))
    _print_errors(seen, cells)
    _print_remedy(seen, cells)


def _headline(seen: Seen, cells: Sequence[int], selection: Selection) -> str:
    counts = seen.counts(cells)
    place = f"{seen.dag_id}, {seen.task}" + (f", run {seen.run_id}" if seen.run_id else "")
    if not cells:
        return f"{place}: no partition is selected, of {len(seen):,}."
    bad = sum(counts.get(state, 0) for state in NOT_LOADED)
    older = sum(seen.has_older(cell) for cell in cells if seen.state(cell) in NOT_LOADED)
    part = f" of {selection}" if selection else ""
    coming = sum(counts.get(state, 0) for state in COMING)
    every = f"{len(cells):,} partitions{part}"
    if bad:
        said = f"{bad:,} of {every} {_are(bad)} not loaded"
    else:
        said = f"none of {every} is left out" if coming else f"all {every} are loaded"
    if older:
        said += f", of {older:,} older data are there"
    if coming:
        said += f"; {coming:,} {_are(coming)} on the way"
    states = ", ".join(f"{number:,} {_words(state)}" for state, number in counts.items())
    return f"{place}: {said}\n{states}"


def _print_places(seen: Seen, cells: Sequence[int]) -> bool:
    """Print where those are that are not loaded, by state; return whether that says it all."""
    counts = seen.counts(cells)
    places = {state: _places(seen, [cell for cell in cells if seen.state(cell) == state]) for state in counts}
    rows = [
        (_words(state), f"{number:,}", place) if nth == 0 else (None, None, place)
        for state, number in counts.items()
        for nth, place in enumerate(places[state])
    ]
    if any(found != [_HERE_AND_THERE] for found in places.values()):
        output.say()
        output.table(("not loaded", "#", "where"), rows, number=("#",))
    return _HERE_AND_THERE not in [place for found in places.values() for place in found]


def _print_numbers(seen: Seen, cells: Sequence[int]) -> None:
    found = where(seen, cells)
    if found is None:
        return
    output.say()
    rows = [
        (name, f"{every:,}", *(f"{number:,}" if number else "·" for number in numbers))
        for name, every, numbers in found.rows
    ]
    output.table(found.columns, rows, number=found.columns[1:])
    if found.left:
        output.say(f"and {found.left:,} more")


def _worst_first(seen: Seen, cells: Sequence[int]) -> list[int]:
    """Return cells as somebody asks for them: what went wrong, then what is missing, of each the newest first."""
    states = {state: place for place, state in enumerate((*NOT_LOADED, *COMING, *LOADED))}
    periods = [place for place, one in enumerate(seen.dimensions) if one.cadence is not None]
    order: dict[str, int] = {}
    if periods:
        order = {value: -place for place, value in enumerate(seen.dimensions[periods[0]].values)}
    return sorted(
        cells,
        key=lambda cell: (
            states[seen.state(cell)],
            order[seen.values(cell)[periods[0]]] if periods else 0,
        ),
    )


def _print_list(seen: Seen, cells: Sequence[int]) -> None:
    errors = _errors(seen)
    apart = len(seen.dimensions) <= _MOST_DIMENSIONS
    names = [one.name for one in seen.dimensions] if apart else ["partition"]
    shown = cells[: output.ROWS]
    rows = []
    for cell in shown:
        tried, wrong = seen.tried(cell), errors.get(cell)
        state = _words(seen.state(cell)) + (", older data" if seen.has_older(cell) else "")
        rows.append(
            (
                *(seen.values(cell) if apart else [seen.key(cell)]),
                state,
                tried and tried.run_id,
                tried and tried.try_number,
                wrong and _said(wrong),
            )
        )
    heads = [*names, "state", "run", "tries", "error"]
    output.table(heads, rows, number=("tries",), cut=("error",), of=len(cells))


def _print_errors(seen: Seen, cells: Sequence[int]) -> None:
    found = list(seen.wrong(cells))
    if not found:
        return
    output.say("\nWhat went wrong:")
    for one in found[:_ERRORS]:
        output.say(f"{len(one.cells):,} × {_said(one)}")
        for place in _places(seen, one.cells):
            output.say(f"  {place}")
    if len(found) > _ERRORS:
        output.say(f"and {len(found) - _ERRORS:,} more errors: --output json has all of them")


def _places(seen: Seen, cells: Sequence[int]) -> list[str]:
    """Return selections of some cells, the largest ones, which may be pasted into the next command."""
    if len(cells) > _MOST_PLACED:
        return [_HERE_AND_THERE]
    dimensions = [(one.name, one.values) for one in seen.dimensions]
    found = rectangles_of(map(seen.partition, cells), dimensions)
    many = len(found) > _PLACES
    found.sort(key=_size, reverse=True)
    large = [one for one in found[:_PLACES] if not many or _size(one) * _PART >= len(cells)]
    said = [str(selection_of(one, dimensions)) or "all" for one in large]
    short = [place for place in said if len(place) <= _LENGTH]
    return short if len(short) == len(found) else [*short, _HERE_AND_THERE]


def _size(rectangle: dict[str, frozenset[str | None]]) -> int:
    return prod(map(len, rectangle.values()))


def _print_remedy(seen: Seen, cells: Sequence[int]) -> None:
    states = seen.counts(cells)
    said = []
    if any(state in states for state in FAILED_STATES):
        said.append("--retry runs again what failed")
    if MISSING in states:
        said.append("--reload starts what is missing")
    if said:
        output.say(f"\n{', '.join(said)}. Before it does, it shows what that is, and asks.")


def _said(wrong: Wrong) -> str:
    return failures.said({"type": wrong.type, "message": wrong.message})


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _words(state: str) -> str:
    return state.replace("_", " ")
