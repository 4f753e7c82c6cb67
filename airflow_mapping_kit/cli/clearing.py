"""What is asked and said when instances are cleared, in the database or through the API."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.question import agreed
from airflow_mapping_kit.results import FINISHED_RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive

_NAMED = 10
_ENDED = ("success", "failed", "skipped", "upstream_failed")


class Found(NamedTuple):
    """What has to run again of a run.

    :param notes: what else has to be said of it.
    """

    run_id: str
    run_state: str
    wanted: Redrive
    notes: Sequence[str] = ()


class Request(NamedTuple):
    """What `retry` is asked to do.

    :param keys: the pieces, by key or label; none stands for all that failed.
    :param fresh: whether all items of a batch are done again.
    :param form: the form of the output.
    """

    dag_id: str
    run_id: str
    task_id: str | None
    keys: tuple[str, ...]
    fresh: bool
    dry_run: bool
    yes: bool
    form: str

    def confirm(self, number: int) -> None:
        """Ask whether so many instances may be cleared, unless that was said before.

        :raises click.Abort: if they may not.
        """
        if not self.yes:
            agreed(f"\nClear these {counted(number)}?", err=self.form != output.TABLE)

    def carry_out(
        self, found: Found, *, again: Callable[[], Found], clear: Callable[[Redrive], Iterable[Cleared]]
    ) -> None:
        """Show what has to run again, ask, look what of it is left then, and clear that.

        :param found: what has to run again.
        :param again: looks once more.
        :param clear: clears what it is given, and returns what was cleared.
        :raises Failure: if the run still runs, and nobody has said that this is meant.
        """
        wanted = found.wanted
        if not wanted.pieces:
            self.print_nothing(found.run_id, found.run_state)
            return
        if self.form == output.TABLE:
            _show(f"{self.dag_id}, run {found.run_id}: {found.run_state}\n", wanted, found.notes)
        self._refuse_to_disturb(found)
        if self.dry_run:
            self.print_cleared(_rows(wanted.everything))
            return
        if not self.yes:
            self.confirm(len(wanted.everything))
            # An answer takes its time, and a colleague may have been faster.
            now = again()
            wanted = now.wanted.within(wanted)
            if wanted.pieces:
                self._refuse_to_disturb(now)
        self.print_cleared(_rows(clear(wanted) if wanted.pieces else ()))

    def _refuse_to_disturb(self, found: Found) -> None:
        if found.run_state in FINISHED_RUN:
            return
        disturbed = _disturbed(found.wanted)
        if not (self.yes or self.dry_run):
            raise Failure(
                f"The run {found.run_id} is {found.run_state}. {disturbed} If that is meant, say --yes."
            )
        output.say(f"The run is {found.run_state}. {disturbed}", err=self.form != output.TABLE)

    def print_cleared(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print what was cleared, or would be: `[{"task", "map_index", "was"}]`."""
        if self.form == output.JSON:
            output.as_json({"would_be_cleared" if self.dry_run else "cleared": rows})
        elif self.form == output.CSV:
            output.as_csv(("task", "map_index", "was"), rows)
        elif not rows:
            output.say("Nothing is left to clear: what failed runs again already, or has run.")
        elif self.dry_run:
            output.say(f"{counted(len(rows))} would be cleared.")
        else:
            output.say(f"{counted(len(rows))} cleared: they run as soon as there is room.")

    def print_nothing(self, run_id: str, run_state: str) -> None:
        """Print that nothing failed."""
        if self.form != output.TABLE:
            self.print_cleared(())
            return
        output.say(
            f"Nothing to retry in {self.dag_id}, run {run_id} ({run_state}): no piece failed, is upstream-failed or "
            f"was left undone."
        )


def counted(number: int) -> str:
    """Return a number of instances in words."""
    return f"{number:,} instance{'' if number == 1 else 's'}"


def _show(heading: str, wanted: Redrive, notes: Iterable[str]) -> None:
    output.say(heading)
    parts = [(wanted.before, "comes before"), (wanted.pieces, ""), (wanted.after, "follows")]
    rows = [
        (one.task_id, one.map_index if one.map_index >= 0 else None, one.label, _was(one), why)
        for cleared, why in parts
        for one in cleared
    ]
    output.table(("task", "#", "piece", "was", ""), rows, number=("#",))
    states = ", ".join(f"{n:,} {state}" for state, n in Counter(map(_was, wanted.pieces)).items())
    others = len(wanted.before) + len(wanted.after)
    output.say(f"\n{counted(len(wanted.pieces))} of pieces ({states}) and {others:,} more.")
    for note in notes:
        output.say(note)


def _disturbed(wanted: Redrive) -> str:
    """Return what a retry does to a run that still runs."""
    stopped = [_instance(one) for one in wanted.after if one.state is not None and one.state not in _ENDED]
    said = f"Left alone: {counted(len(wanted.at_work))} at work or waiting."
    return f"{said} Stopped and started again: {', '.join(stopped[:_NAMED])}." if stopped else said


def _was(one: Cleared) -> str:
    return (one.state or "none").replace("_", " ")


def _instance(one: Cleared) -> str:
    return one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]"


def _rows(cleared: Iterable[Cleared]) -> list[dict[str, Any]]:
    return [{"task": one.task_id, "map_index": one.map_index, "was": one.state} for one in cleared]
