"""The cells of a history: the product of its dimensions, and where in it the pieces of each run are."""

from __future__ import annotations

from array import array
from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from airflow_mapping_kit.history.axes import Dimension, cadence_of, dimension
from airflow_mapping_kit.history.pieces import BY_KEY, NOTHING, Pieces, key_of
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION
from airflow_mapping_kit.partitions.periods import has_minutes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_mapping_kit.history.between import Filled
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work

OTHER = "its partitions have other dimensions ({})"
# Where most combinations are not there a matrix shows nothing: partitions are listed by their keys.
_SPARSE, _FEW = 4, 5000


class Matrix:
    """The cells: every combination of the dimensions' values, the last dimension fastest.

    Runs whose pieces have other dimensions than those of most runs get no cells, and say so.

    :param works: what the runs did, newest first. Their pieces may be replaced by the same ones, known by key.
    :param more: values that belong to a dimension whatever the runs have.
    :param only: the run whose pieces alone have cells.
    """

    def __init__(
        self,
        target: Target,
        works: Sequence[Work],
        more: Mapping[str, Iterable[str]],
        only: Work | None = None,
    ) -> None:
        self.product = only is None and target.product
        self.gaps: list[tuple[str, str, str]] = []
        self.changed: dict[str, list[str]] = {}
        self._target = target
        _leave_out_others(works, only)
        self._of = works if only is None else [only]
        plans = {id(work.pieces): work.pieces for work in works if work.pieces}
        if self.product and target.form is None:
            self.product = all(pieces.is_product for pieces in plans.values())
        of = self._plans()
        self.names = next((pieces.names for pieces in of), tuple(sorted(more)))
        self.by_key = any(pieces.by_key for pieces in of)
        self.dimensions = self._dimensions(of, more)
        self.size = self._size()
        if target.form is None and self._is_sparse(of):
            self._list(works)
        plans = {id(work.pieces): work.pieces for work in works if work.pieces}
        self._places = [{value: place for place, value in enumerate(one.values)} for one in self.dimensions]
        self._cells = {key: self._cells_of(pieces) for key, pieces in plans.items()}

    def cells(self, work: Work) -> array[int]:
        """Return the cell of each piece of a run, -1 of one that has none."""
        return self._cells[id(work.pieces)]

    def cell(self, values: Sequence[str]) -> int:
        """Return the cell of a partition.

        :raises KeyError: if there is none of these values.
        """
        if len(values) != len(self.dimensions):
            raise KeyError(tuple(values))
        number = 0
        for place, value in zip(self._places, values, strict=True):
            number = number * len(place) + place[value]
        return number

    def values(self, cell: int) -> list[str]:
        """Return the values of a cell."""
        found = []
        for one in reversed(self.dimensions):
            cell, place = divmod(cell, len(one.values))
            found.append(one.values[place])
        return found[::-1]

    def partition(self, cell: int) -> dict[str, str | None]:
        """Return the partition of a cell, its values as text or `None`."""
        values = zip(self.names, self.values(cell), strict=True)
        return {name: None if value == DEFAULT_PARTITION else value for name, value in values}

    def key(self, cell: int) -> str:
        """Return the key of the piece of a cell."""
        values = self.values(cell)
        return values[0] if self.by_key else key_of(self.names, values)

    def retired(self) -> Iterable[int]:
        """Yield the cells of values that the DAG does not have any more: what is not there is not missing."""
        form = self._target.form
        for n, one in enumerate(self.dimensions):
            known = set(form.values.get(one.name, ())) if form else set()
            others = set(self.changed.get(one.name, ()))
            gone = [
                place
                for place, value in enumerate(one.values)
                if value in others or (known and value not in known)
            ]
            width = prod(len(other.values) for other in self.dimensions[n + 1 :])
            for place in gone:
                for start in range(place * width, self.size, width * len(one.values)):
                    yield from range(start, start + width)

    def _plans(self) -> list[Pieces]:
        return list({id(work.pieces): work.pieces for work in self._of if work.pieces}.values())

    def _size(self) -> int:
        return prod(len(one.values) for one in self.dimensions) if self.dimensions else 0

    def _dimensions(self, plans: Sequence[Pieces], more: Mapping[str, Iterable[str]]) -> list[Dimension]:
        found = []
        for n, name in enumerate(self.names):
            values = set().union(*(pieces.values[n] for pieces in plans), more.get(name, ()))
            one, filled = self._dimension(name, values)
            self.gaps += [(name, *gap) for gap in filled.gaps]
            if filled.others:
                self.changed[name] = filled.others
            found.append(one)
        return found

    def _dimension(self, name: str, values: set[str]) -> tuple[Dimension, Filled]:
        form, steps = self._target.form, self._target.steps
        known = form.values.get(name, ()) if form else ()
        declared = [one for one in known if self.product or one in values]
        every = self._every(name, values)
        zone = form.zone if form else steps.get(every or "", next(iter(steps.values()), "UTC"))
        return dimension(name, values, declared=declared, zone=zone, every=every, filling=self.product)

    def _every(self, name: str, values: set[str]) -> str | None:
        """Return which of the steps of its generators a dimension has, `None` if it has none of them."""
        form, steps = self._target.form, self._target.steps
        if form is not None:
            return form.every if name == form.dimension else None
        cadence = cadence_of(values)
        # How long minutes last their keys don't say.
        return next((one for one in steps if cadence == ("minute" if has_minutes(one) else one)), None)

    def _is_sparse(self, plans: Sequence[Pieces]) -> bool:
        """Tell whether no run has most of the combinations."""
        if self.size <= _SPARSE * max(map(len, plans), default=0) + _FEW:
            return False
        return self.size > _SPARSE * len(set().union(*map(_combinations, plans))) + _FEW

    def _list(self, works: Sequence[Work]) -> None:
        """Have one dimension, of keys."""
        same = {id(work.pieces): work.pieces.known_by_key() for work in works if work.pieces}
        for work in works:
            work.pieces = same.get(id(work.pieces), NOTHING)
        self.names, self.by_key, self.product, self.gaps, self.changed = (BY_KEY,), True, False, [], {}
        self.dimensions = self._dimensions(self._plans(), {})
        self.size = self._size()

    def _cells_of(self, pieces: Pieces) -> array[int]:
        width, cells = 1, [0] * len(pieces)
        for place, values, codes in reversed(
            list(zip(self._places, pieces.values, pieces.codes, strict=True))
        ):
            # What has no place has no cell, whatever its other values are.
            at = [place[value] * width if value in place else -self.size for value in values]
            cells = [cell + at[code] for cell, code in zip(cells, codes, strict=True)]
            width *= len(place)
        return array("i", [max(cell, -1) for cell in cells] if min(cells, default=0) < 0 else cells)


def _leave_out_others(works: Sequence[Work], only: Work | None) -> None:
    """Leave out the runs whose pieces have other dimensions than most, of equally many those of the newest."""
    names = Counter(work.pieces.names for work in works if work.pieces)
    if len(names) < 2:  # noqa: PLR2004
        return
    most = only.pieces.names if only is not None and only.pieces else names.most_common(1)[0][0]
    for work in works:
        if work.pieces and work.pieces.names != most:
            work.run.unread = OTHER.format(", ".join(work.pieces.names))
            work.pieces = NOTHING


def _combinations(pieces: Pieces) -> set[tuple[int, ...]] | set[tuple[str, ...]]:
    return {pieces.of(piece) for piece in range(len(pieces))}
