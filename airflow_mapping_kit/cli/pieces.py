"""What a command says of pieces, whether the database or the API told of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import failures
from airflow_mapping_kit.cli import output
from airflow_mapping_kit.results import FAILURES, FINISHED_RUN, NOT_STARTED

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = (
    "task",
    "map_index",
    "key",
    "label",
    "state",
    "try_number",
    "duration_s",
    "error_type",
    "error_message",
)


@dataclass
class Told:
    """What became of the pieces of one mapped task or group.

    :param task: its name.
    :param rows: a row a piece, or an item; `state` may also be one of Airflow's for what is at work.
    :param note: what else has to be said of it, e.g. that it was never expanded.
    """

    task: str
    rows: Sequence[dict[str, Any]]
    note: str | None = None

    def failed(self, run_state: str) -> list[dict[str, Any]]:
        """Return the rows that are not as they should be."""
        return [row for row in self.rows if is_failure(row["state"], run_state)]


def is_failure(state: str | None, run_state: str) -> bool:
    """Tell whether a piece is not as it should be: one that waits in a run that goes on is."""
    return state in FAILURES and (state != NOT_STARTED or run_state in FINISHED_RUN)


def print_status(
    dag_id: str, run_id: str, run_state: str, told: Sequence[Told], *, only_failed: bool, form: str
) -> bool:
    """Print what became of pieces; return whether any is not as it should be."""
    bad = any(one.failed(run_state) or (one.note and not one.rows) for one in told)
    if form == output.JSON:
        output.as_json(
            {
                "dag_id": dag_id,
                "run_id": run_id,
                "state": run_state,
                "tasks": [
                    {
                        "task": one.task,
                        "note": one.note,
                        "total": len(one.rows),
                        "states": dict(_states(one)),
                        "results": one.failed(run_state) if only_failed else one.rows,
                    }
                    for one in told
                ],
            }
        )
    elif form == output.CSV:
        output.as_csv(
            _COLUMNS,
            (
                {**row, "task": one.task, **_error_cells(row)}
                for one in told
                for row in (one.failed(run_state) if only_failed else one.rows)
            ),
        )
    else:
        output.say(f"{dag_id}, run {run_id}: {run_state}")
        for one in told:
            _print_table(one, run_state, only_failed=only_failed)
    return bad


def _print_table(one: Told, run_state: str, *, only_failed: bool) -> None:
    states = ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in _states(one))
    pieces = f"{len(one.rows):,} piece{'' if len(one.rows) == 1 else 's'}"
    output.say(f"\n{one.task}: {pieces}{f': {states}' if states else ''}")
    if one.note:
        output.say(one.note)
    failed = one.failed(run_state)
    shown = failed if only_failed else one.rows
    if shown:
        output.table(
            ("#", "piece", "state", "tries", "seconds", "error"),
            [
                (
                    row["map_index"],
                    row["label"] or row["key"],
                    row["state"],
                    row["try_number"],
                    None if row["duration_s"] is None else f"{row['duration_s']:,.1f}",
                    _error(row),
                )
                for row in shown
            ],
            number=("#", "tries", "seconds"),
            cut=("error",),
        )
    if len(failed) > 1 or (failed and len(shown) > output.ROWS):
        output.say(f"\nNot done of {one.task}, by error:\n{failures.described(failed)}")  # type: ignore[arg-type]


def _states(one: Told) -> list[tuple[str, int]]:
    return Counter(str(row["state"]) for row in one.rows).most_common()


def _error(row: dict[str, Any]) -> str:
    return "" if row["error"] is None else failures.said(row["error"])


def _error_cells(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"] or {"type": None, "message": None}
    return {"error_type": error["type"], "error_message": error["message"]}
