"""What the demo shows while it works: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from rich.console import Console

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
# In the order in which an instance goes through them.
COLOURS = {
    "waiting": "dim",
    "scheduled": "dim",
    "queued": "blue",
    "running": "cyan",
    "up_for_retry": "yellow",
    "success": "green",
    "skipped": "magenta",
    "upstream_failed": "red",
    "failed": "bold red",
}
SECONDS_BETWEEN_LINES = 5


def states(instances: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count instances by state; ``waiting`` are those that the scheduler hasn't come to."""
    counts = Counter(instance["state"] or "waiting" for instance in instances)
    known = {state: counts.pop(state) for state in COLOURS if state in counts}
    return Counter({**known, **counts})


def described(counts: Counter[str]) -> Text:
    """Return the counts as one coloured line."""
    return Text(", ").join(Text(f"{n} {state}", style=COLOURS.get(state, "")) for state, n in counts.items())


def by_worker(instances: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the instances that each worker has begun, by the worker's name."""
    shares: dict[str, list[dict[str, Any]]] = {}
    for instance in sorted(instances, key=lambda one: one["hostname"]):
        if instance["hostname"]:
            shares.setdefault(instance["hostname"], []).append(instance)
    return shares


@contextlib.contextmanager
def step(console: Console, what: str) -> Iterator[None]:
    """Show that a part is being started, then how long that took."""
    began = time.monotonic()
    with console.status(f"{what} ..."):
        yield
    console.print(f"  {what:<42} {time.monotonic() - began:5.1f} s", highlight=False)


class Bar:
    """The live progress of the mapped instances of a run.

    :param workers: the names of Celery's workers, each of which is shown with what it has done.
    """

    def __init__(self, console: Console, workers: Iterable[str] = ()) -> None:
        self._console = console
        self._live = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[states]}"),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=4,
        )
        self._task = self._live.add_task("Partitions", total=None, states="")
        self._workers = {name: self._live.add_task(name, total=None, states="") for name in workers}
        self._line = ""
        self._printed = 0.0

    def update(self, instances: Sequence[dict[str, Any]], partitions: tuple[int, int] | None = None) -> None:
        """Show the states of the instances.

        :param partitions: how many are done, and of how many, where an instance works on several.
        """
        counts = states(instances)
        finished = sum(n for state, n in counts.items() if state in FINISHED)
        done, total = partitions or (finished, len(instances))
        line = described(counts)
        self._live.update(self._task, total=total or None, completed=done, states=line.markup)
        shares = by_worker(instances)
        for name, task in self._workers.items():
            share = states(shares.get(name, ()))
            ended = sum(n for state, n in share.items() if state in FINISHED)
            self._live.update(task, total=total or None, completed=ended, states=described(share).markup)
        if self._console.is_terminal:
            return
        plain = f"  {done:,}/{total:,}: {line.plain}"
        if self._workers and shares:
            plain += f" ({', '.join(f'{name} has {len(share)}' for name, share in shares.items())})"
        ended = finished == len(instances)
        if (
            instances
            and plain != self._line
            and (ended or time.monotonic() - self._printed > SECONDS_BETWEEN_LINES)
        ):
            self._console.print(plain, highlight=False, soft_wrap=True)
            self._line, self._printed = plain, time.monotonic()

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
