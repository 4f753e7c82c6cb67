"""What is asked when partitions are run again or loaded, over several runs, and what is done then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.clearing import counted
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.previews import as_rows, does_something, show, summed
from airflow_mapping_kit.cli.question import agreed
from airflow_mapping_kit.cli.seen import COMING, FAILED_STATES, MISSING, ChangedMeanwhile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.seen import Seen, Source

AGAIN, CHOSEN, LOAD = "failed", "chosen", "missing"
# Who says --yes agrees to what it is by now too; but not for ever.
_LOOKS = 3
_COLUMNS = ("run_id", "task", "map_index", "was")


class Wanted(NamedTuple):
    """What to do with some cells: `failed`, `chosen` or `missing`."""

    what: str
    cells: Sequence[int]


class Answers(NamedTuple):
    """What was said beforehand.

    :param form: the form of the output.
    """

    dry_run: bool
    yes: bool
    form: str


def wanted_of(seen: Seen, cells: Sequence[int], *, retry: bool, reload: bool, by_state: bool) -> list[Wanted]:
    """Return what is to be done with cells.

    :param by_state: whether they were chosen by their states: then those that are loaded run again too.
    """
    found = []
    if retry:
        failed = [cell for cell in cells if seen.state(cell) in FAILED_STATES]
        tried = [cell for cell in cells if seen.state(cell) not in (MISSING, *COMING)]
        found.append(
            Wanted(CHOSEN, tried) if by_state and len(tried) > len(failed) else Wanted(AGAIN, failed)
        )
    if reload:
        found.append(Wanted(LOAD, [cell for cell in cells if seen.state(cell) == MISSING]))
    return [one for one in found if one.cells]


def redriven(source: Source, wanted: Sequence[Wanted], said: Answers) -> None:
    """Show what would be cleared and started, ask, and do just that.

    :raises click.Abort: if it may not be done.
    """
    todo = [(one, source.preview(one.what, one.cells)) for one in wanted]
    done = _Done(said.form)
    names = _names(source.seen, wanted)
    for _ in range(_LOOKS):
        previews = [preview for _, preview in todo]
        if said.form == output.TABLE:
            show(f"{source.seen.dag_id}, {source.seen.task}", previews, names)
        if said.dry_run or not any(map(does_something, previews)):
            break
        if not said.yes:
            agreed(f"\n{summed(previews)}?", err=said.form != output.TABLE)
        todo = _carried_out(source, todo, done)
        if not todo:
            break
        output.say("The list has changed in the meantime. Look at it again.\n", err=said.form != output.TABLE)
    else:
        raise Failure("The list changes faster than you can confirm it. Try again in a minute.")
    if said.dry_run:
        _print_would(previews, said.form)
    else:
        done.show()


def _names(seen: Seen, wanted: Sequence[Wanted]) -> dict[tuple[str, int], str]:
    """Return what instances work on, by run and map index: a batch is called by its first partition."""
    keys: dict[tuple[str, int], list[str]] = {}
    for one in wanted:
        for cell in one.cells:
            tried = seen.tried(cell)
            if tried is not None:
                keys.setdefault((tried.run_id, tried.map_index), []).append(seen.key(cell))
    return {
        place: found[0] if len(found) == 1 else f"{found[0]} and {len(found) - 1:,} more"
        for place, found in keys.items()
    }


def _carried_out(
    source: Source, todo: Sequence[tuple[Wanted, dict[str, Any]]], done: _Done
) -> list[tuple[Wanted, dict[str, Any]]]:
    """Do what previews show; return what is to be looked at again, with what it is now."""
    again = []
    for one, preview in todo:
        if does_something(preview):
            try:
                cleared, started = source.carry_out(one.what, one.cells, preview["digest"])
            except ChangedMeanwhile as changed:
                again.append((one, changed.preview))
            else:
                done.add(preview, cleared, started)
    return again


class _Done:
    """What was done so far."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._rows: list[dict[str, Any]] = []
        self._cleared = 0
        self._started: list[str] = []

    def add(self, preview: dict[str, Any], cleared: int, started: Sequence[str]) -> None:
        self._rows += as_rows(preview)
        self._cleared += cleared
        self._started += started

    def show(self) -> None:
        """Print it."""
        if self._form == output.JSON:
            left = len(self._rows) - self._cleared
            output.as_json({"cleared": self._rows, "started": self._started, "left_alone": left})
        elif self._form == output.CSV:
            started = ({"run_id": run_id, "was": "missing"} for run_id in self._started)
            output.as_csv(_COLUMNS, [*self._rows, *started])
        elif not (self._cleared or self._started):
            output.say("\nThere is nothing to do.")
        else:
            runs = f"{len(self._started):,} run{'' if len(self._started) == 1 else 's'} started"
            parts = [f"{counted(self._cleared)} cleared"] if self._cleared else []
            parts += [runs] if self._started else []
            output.say(f"{', '.join(parts)}: they run as soon as there is room.")


def _print_would(previews: Sequence[dict[str, Any]], form: str) -> None:
    rows = [row for preview in previews for row in as_rows(preview)]
    starts = [one for preview in previews for one in preview["starts"]]
    if form == output.JSON:
        notes = [note for preview in previews for note in preview["notes"]]
        output.as_json({"would_be_cleared": rows, "would_be_started": starts, "notes": notes})
    elif form == output.CSV:
        output.as_csv(_COLUMNS, [*rows, *({"run_id": one["run_id"], "was": "missing"} for one in starts)])
    else:
        output.say(
            f"\n{summed(previews)}: not done, this is a dry run."
            if rows or starts
            else "\nThere is nothing to do."
        )
