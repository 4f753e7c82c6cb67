"""What is asked and said when instances are cleared, in the database or through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from airflow_mapping_kit.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence


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
            click.confirm(f"\nClear these {counted(number)}?", abort=True, err=self.form != output.TABLE)

    def print_cleared(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print what was cleared, or would be: `[{"task", "map_index", "was"}]`."""
        if self.form == output.JSON:
            output.as_json({"would_be_cleared" if self.dry_run else "cleared": rows})
        elif self.form == output.CSV:
            output.as_csv(("task", "map_index", "was"), rows)
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
