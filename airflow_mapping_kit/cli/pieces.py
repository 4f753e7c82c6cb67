"""What a command says of pieces, whether the database or the API told of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_mapping_kit import failures
from airflow_mapping_kit.cli import output
from airflow_mapping_kit.exceptions import FanInError, StorageError
from airflow_mapping_kit.results import FAILURES, FINISHED_RUN, NOT_STARTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Row: TypeAlias = "dict[str, Any]"
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


class Told:
    """What became of the pieces of one mapped task or group.

    :param task: its name.
    :param rows: a row a piece, or an item; `state` may also be one of Airflow's for what is at work. They may be
        gone through more than once, and may be many: whoever shows some reads no others.
    :param note: what else has to be said of it, e.g. that it was never expanded.
    :param states: how many rows are in which state, where that is known without them.
    :param failures: those rows that may be failures, where they can be had without the others.
    :param errors: how many each error stopped, as far as that is known without rows.
    :param keys: the first of those that failed, so too.
    """

    def __init__(
        self,
        task: str,
        rows: Iterable[Row],
        note: str | None = None,
        *,
        states: Mapping[str, int] | None = None,
        failures: Iterable[Row] | None = None,
        errors: Counter[str] | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        self.task, self.rows, self.note = task, rows, note
        self.states = Counter(str(row["state"]) for row in rows) if states is None else Counter(states)
        self.errors, self.keys = errors or Counter(), keys
        self._failures = rows if failures is None else failures

    @property
    def total(self) -> int:
        """How many rows there are."""
        return self.states.total()

    def failed(self, run_state: str) -> Iterator[Row]:
        """Yield the rows that are not as they should be."""
        if self.number_failed(run_state):
            yield from (row for row in self._failures if is_failure(row["state"], run_state))

    def number_failed(self, run_state: str) -> int:
        """Return how many they are."""
        return sum(number for state, number in self.states.items() if is_failure(state, run_state))


def is_failure(state: str | None, run_state: str) -> bool:
    """Tell whether a piece is not as it should be: one that waits in a run that goes on is."""
    return state in FAILURES and (state != NOT_STARTED or run_state in FINISHED_RUN)


def print_status(
    dag_id: str, run_id: str, run_state: str, told: Sequence[Told], *, only_failed: bool, form: str
) -> bool:
    """Print what became of pieces; return whether any is not as it should be."""
    bad = any(one.number_failed(run_state) or (one.note and not one.total) for one in told)
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
                        "total": one.total,
                        "states": dict(one.states.most_common()),
                        "results": output.Lines(one.failed(run_state) if only_failed else one.rows),
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
    states = ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in one.states.most_common())
    pieces = f"{one.total:,} piece{'' if one.total == 1 else 's'}"
    output.say(f"\n{one.task}: {pieces}{f': {states}' if states else ''}")
    if one.note:
        output.say(one.note)
    try:
        _print_rows(one, run_state, only_failed=only_failed)
    except (FanInError, StorageError) as error:
        output.say(f"\nTheir rows can't be read here. {error}")
        known = failures.summed(one.errors, one.keys, len(one.keys)) if one.errors else ""
        if known:
            output.say(f"\nNot done of {one.task}, as far as it is summed up:\n{known}")


def _print_rows(one: Told, run_state: str, *, only_failed: bool) -> None:
    failed = one.number_failed(run_state)
    number = failed if only_failed else one.total
    if number:
        output.table(
            ("#", "piece", "state", "tries", "seconds", "error"),
            (
                (
                    row["map_index"],
                    row["label"] or row["key"],
                    row["state"],
                    row["try_number"],
                    None if row["duration_s"] is None else f"{row['duration_s']:,.1f}",
                    _error(row),
                )
                for row in (one.failed(run_state) if only_failed else one.rows)
            ),
            number=("#", "tries", "seconds"),
            cut=("error",),
            of=number,
        )
    if failed > 1 or (failed and number > output.ROWS):
        described = failures.described(one.failed(run_state))  # type: ignore[arg-type]
        output.say(f"\nNot done of {one.task}, by error:\n{described}")


def _error(row: dict[str, Any]) -> str:
    return "" if row["error"] is None else failures.said(row["error"])


def _error_cells(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"] or {"type": None, "message": None}
    return {"error_type": error["type"], "error_message": error["message"]}
