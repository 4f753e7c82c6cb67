"""A history: the newest state of each partition of a DAG's mapped task, as a matrix of letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.history.errors import ErrorGroup, grouped
from airflow_mapping_kit.history.reckoning import worst_of
from airflow_mapping_kit.history.states import NO_CELL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from airflow_mapping_kit.history.axes import Dimension
    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.of_parts import Items
    from airflow_mapping_kit.history.reckoning import Reckoning
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Run, Work


@dataclass(frozen=True)
class Attempt:
    """The newest try of a partition.

    :param map_index: of its instance, -1 where the run has no plan yet.
    :param task_id: of a group the task that says most of what became of the partition.
    :param try_number: `None` where it succeeded right away: then its instance was not read by itself.
    :param seconds: how long it took, `None` where that is not known.
    """

    run: Run
    map_index: int
    task_id: str
    try_number: int | None
    seconds: float | None


class History:
    """The newest state of every partition over many runs, or what became of them in one run.

    :param dag_id: the DAG.
    :param target: the mapped task or group whose partitions they are.
    :param targets: all that the DAG has.
    :param dimensions: their product, the last one fastest, are the cells.
    :param letters: a letter a cell, as `LETTERS` has them; a capital says that older data are there, `.` that no
        partition is there.
    :param errors: what the partitions that are failed now ended with, the most frequent first.
    :param notes: what can't be known, a sentence each.
    :param runs: the runs it was made of, the newest first.
    :param run_id: the run whose own states these are, `None` of all runs.
    :param queries: how many queries it took.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        target: Target,
        works: Sequence[Work],
        matrix: Matrix,
        reckoning: Reckoning,
        *,
        items: Mapping[tuple[str, int], Items],
        records: Mapping[tuple[str, int], Any],
        notes: list[str],
        run_id: str | None,
        queries: int,
    ) -> None:
        self.dag_id = target.dag_id
        self.target, self.targets = target, list(targets)
        self.run_id, self.notes, self.queries = run_id, notes, queries
        self.dimensions: list[Dimension] = matrix.dimensions
        self.letters = bytes(reckoning.letters)
        self.runs: list[Run] = [work.run for work in works]
        self._works, self._matrix, self._reckoning = works, matrix, reckoning
        self.errors: list[ErrorGroup] = grouped(
            (cell, self._error(cell, items, records))
            for cell, code in enumerate(self.letters)
            if code in b"fF"
        )

    def __len__(self) -> int:
        """Return how many cells there are."""
        return len(self.letters)

    @property
    def counts(self) -> dict[str, int]:
        """How many partitions have which letter."""
        counts = Counter(self.letters.decode())
        del counts[NO_CELL]
        return dict(counts)

    def cell(self, values: Sequence[str]) -> int:
        """Return the cell of a partition.

        :param values: one of each dimension.
        :raises KeyError: if there is no such.
        """
        return self._matrix.cell(values)

    def values(self, cell: int) -> list[str]:
        """Return the value that a cell has of each dimension."""
        return self._matrix.values(cell)

    def partition(self, cell: int) -> dict[str, str]:
        """Return the partition of a cell, its values as text."""
        return {one.name: value for one, value in zip(self.dimensions, self.values(cell), strict=True)}

    def key(self, cell: int) -> str:
        """Return the key of a cell's partition, the one that it has in results, labels and paths."""
        return self._matrix.key(cell)

    def attempt(self, cell: int) -> Attempt | None:
        """Return the newest try of a cell's partition, `None` where no run has it."""
        place = self._reckoning.place_of[cell]
        if place < 0:
            return None
        work = self._works[place]
        piece = self._reckoning.piece_of[cell]
        index = -1 if piece < 0 else work.pieces.holder(piece)
        one = worst_of(self._reckoning.tries(cell))
        if one is None:
            return Attempt(work.run, index, self.target.task_ids[0], None, None)
        return Attempt(work.run, index, one.task_id, one.tries, one.seconds)

    def _error(
        self, cell: int, items: Mapping[tuple[str, int], Items], records: Mapping[tuple[str, int], Any]
    ) -> Any:
        work = self._works[self._reckoning.place_of[cell]]
        piece = self._reckoning.piece_of[cell]
        place = work.run.id, work.pieces.holder(piece)
        if place in items:
            row = items[place].rows[piece - work.pieces.held_by(place[1]).start]
            if row is not None:
                return row.get("error")
        return records.get(place)
