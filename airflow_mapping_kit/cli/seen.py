"""The partitions of a DAG as a command has them, from the database or from the page's own API."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_mapping_kit.history.pieces import key_of
from airflow_mapping_kit.history.selected import selected
from airflow_mapping_kit.history.states import LETTERS, NO_CELL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from airflow_mapping_kit.history.axes import Dimension
    from airflow_mapping_kit.partitions.selection import Selection

FAILED_STATES = ("failed", "upstream_failed", "not_run")
MISSING = "missing"
# What somebody has to do something about, what comes by itself, and what is there or is not meant to be.
NOT_LOADED, COMING = (*FAILED_STATES, MISSING), ("at_work", "waiting")
_NAMED = 3
LOADED = ("loaded", "stale", "healed", "skipped")


class Tried(NamedTuple):
    """The newest try of a partition."""

    run_id: str
    map_index: int
    task_id: str
    try_number: int | None
    seconds: float | None


class Wrong(NamedTuple):
    """An error, and the cells whose newest try ended with it."""

    type: str | None
    message: str
    cells: Sequence[int]


@dataclass(frozen=True)
class Seen:
    """A matrix of partitions.

    :param task: the mapped task or group whose partitions they are.
    :param run_id: the run whose own states these are, `None` of all runs.
    :param letters: a letter a cell.
    :param notes: what can't be known, a sentence each.
    :param tried: returns the newest try of a cell.
    """

    dag_id: str
    task: str
    run_id: str | None
    dimensions: Sequence[Dimension]
    letters: str
    errors: Sequence[Wrong]
    notes: Sequence[str]
    tried: Callable[[int], Tried | None]

    def __len__(self) -> int:
        """Return how many partitions there are."""
        return len(self.letters) - self.letters.count(NO_CELL)

    def chosen(self, selection: Selection, states: Collection[str]) -> list[int]:
        """Return the cells that are selected and in one of some states, of none given in any."""
        cells = selected(self.dimensions, selection)
        letters = {letter for letter, state in LETTERS.items() if not states or state in states}
        return [cell for cell in cells if self.letters[cell].lower() in letters]

    def state(self, cell: int) -> str:
        """Return what became of a cell's partition."""
        return LETTERS[self.letters[cell].lower()]

    def has_older(self, cell: int) -> bool:
        """Tell whether data of an earlier load are there."""
        return self.letters[cell].isupper()

    def values(self, cell: int) -> list[str]:
        """Return the value that a cell has of each dimension."""
        found = []
        for one in reversed(self.dimensions):
            cell, place = divmod(cell, len(one.values))
            found.append(one.values[place])
        return found[::-1]

    def partition(self, cell: int) -> dict[str, str]:
        """Return the partition of a cell, its values as text."""
        return {one.name: value for one, value in zip(self.dimensions, self.values(cell), strict=True)}

    def key(self, cell: int) -> str:
        """Return the key of a cell's partition."""
        return key_of([one.name for one in self.dimensions], self.values(cell))

    def counts(self, cells: Collection[int]) -> dict[str, int]:
        """Return how many of some cells are in which state, in the order of `LETTERS`."""
        found = Counter(map(self.state, cells))
        return {state: found[state] for state in LETTERS.values() if found[state]}

    def wrong(self, cells: Collection[int]) -> Iterator[Wrong]:
        """Yield the errors of some cells, the most frequent first."""
        wanted = set(cells)
        found = [one._replace(cells=[cell for cell in one.cells if cell in wanted]) for one in self.errors]
        yield from sorted((one for one in found if one.cells), key=lambda one: -len(one.cells))


def said_of_unread(runs: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return what is to be said of the runs whose partitions aren't known, by why that is.

    :param runs: ids, the newest first, and why.
    """
    ids: dict[str, list[str]] = {}
    for run_id, why in runs:
        if why is not None:
            ids.setdefault(why, []).append(run_id)
    return [_unread(found, why) for why, found in ids.items()]


def _unread(ids: Sequence[str], why: str) -> str:
    if len(ids) == 1:
        return f"The run {ids[0]} is not counted: {why}."
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return f"The runs {', '.join(ids[:_NAMED])}{more} are not counted, of each: {why}."


class Source(Protocol):
    """Where partitions were looked at, and from where they are loaded: the database, or the page's own API."""

    seen: Seen

    def preview(self, what: str, cells: Sequence[int]) -> dict[str, Any]:
        """Return what would be cleared and started for some cells.

        :param what: `failed`, `chosen` or `missing`.
        :return: `{"runs", "starts", "notes", "instances", "pieces", "digest"}`.
        """

    def carry_out(self, what: str, cells: Sequence[int], digest: str) -> Done:
        """Do what a preview of that digest shows.

        :raises ChangedMeanwhile: if it would be something else by now: nothing was done.
        """


class Done(NamedTuple):
    """What was done.

    :param cleared: how many instances were cleared.
    :param started: the ids of the runs that were started.
    """

    cleared: int
    started: Sequence[str]


class ChangedMeanwhile(Exception):  # noqa: N818 -- an answer, not a failure
    """What was agreed to is not what would be done by now.

    :param preview: that is.
    """

    def __init__(self, preview: dict[str, Any]) -> None:
        super().__init__("The list has changed in the meantime.")
        self.preview = preview
