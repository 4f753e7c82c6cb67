"""A plan of batches, made of items as they come: as lists where it is small, else kept elsewhere as slices.

Memory does not grow with the number of items: what is kept of a batch is where it begins and ends.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.lines import line_of
from airflow_mapping_kit.plans.naming import check_named
from airflow_mapping_kit.plans.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

# Where nobody says how large a batch is: at first so many items, doubled until there are few enough batches. An
# instance costs nearly half a second of CPU, and what is done of a large batch is kept all the same.
LEAST_SIZE, MOST_BATCHES = 50, 256
# As JSON. What is larger is not passed on as it is: every instance would read all of it.
MOST_BYTES = 256 * 1024
# An item at the end of a batch is in its label; of one that is longer as JSON nothing is shown.
_END_BYTES = 200


class Place(Protocol):
    """Where the items of a plan are kept, a line each."""

    where: str

    def add(self, line: str) -> tuple[int, int]:
        """Keep a line; return where it begins and where it ends, as a slice tells it."""
        ...


class Planned(NamedTuple):
    """A plan to map over.

    :param batches: lists of items, or slices as JSON.
    :param items: how many items they hold.
    :param where: where the items are, `None` of lists.
    """

    batches: list[Any]
    items: int
    where: str | None


class Cut(NamedTuple):
    """How batches are made of items.

    :param size: how many items each has; `None` for as few as give no more than `most`.
    :param most: how many batches there may be.
    :param ready: whether what comes are batches already, lists of items.
    :param named_by: the fields that name an item.
    :param whose: the task that makes the plan, for errors.
    """

    whose: str
    most: int
    size: int | None = None
    ready: bool = False
    named_by: Sequence[str] | None = None


def planned(
    elements: Iterable[Any],
    cut: Cut,
    place: AbstractContextManager[Place] | None,
    *,
    most_bytes: int = MOST_BYTES,
) -> Planned:
    """Return the plan of items, or of batches of them, as lists while it is small.

    :param place: where the items go when it is not; `None` where all has to be lists.
    :raises PlanError: if an item can't be JSON, or there are more batches than there may be.

    Example: of 250 items and a size of 100 these are three lists, of a million items 256 slices at most.
    """
    steps = _steps(elements, cut)
    held = list(steps if place is None else _first(steps, most_bytes))
    if place is None or sum(map(_size, held)) <= most_bytes:
        return _as_lists(held, cut)
    marks = _Marks(cut)
    with place as kept:
        for step in itertools.chain(held, steps):
            marks.add(step, *(kept.add(step.line) if step.line else (0, 0)))
    return Planned(marks.slices(kept.where), marks.items, kept.where)


def begins_with_a_batch(elements: Any) -> tuple[bool, Any]:
    """Return whether the first of some elements is a list, and all of them."""
    first: Sequence[Any] = elements[:1] if isinstance(elements, list | tuple) else []
    if isinstance(elements, Iterator):
        first = list(itertools.islice(elements, 1))
        elements = itertools.chain(first, elements)
    return any(isinstance(one, list | tuple) for one in first), elements


def _first(steps: Iterator[_Step], most_bytes: int) -> Iterator[_Step]:
    """Yield as many as take more than so many bytes together, or all."""
    size = 0
    for step in steps:
        yield step
        size += _size(step)
        if size > most_bytes:
            return


def _size(step: _Step) -> int:
    return len(step.line) + len(", ")


class _Step(NamedTuple):
    """An item, and whether a ready-made batch begins with it; an empty line for a batch without items."""

    item: Any
    line: str
    begins: bool


def _steps(elements: Iterable[Any], cut: Cut) -> Iterator[_Step]:
    number = 0
    for batch in _batches(elements, cut) if cut.ready else (elements,):
        begins = True
        for item in batch:
            if cut.named_by is not None:
                check_named(cut.whose, f"item {number:,} of its plan", cut.named_by, [item])
            yield _Step(item, line_of(item, number), begins)
            begins, number = False, number + 1
        if begins and cut.ready:
            yield _Step(None, "", True)


def _batches(elements: Iterable[Any], cut: Cut) -> Iterator[Sequence[Any]]:
    for number, batch in enumerate(elements):
        if not isinstance(batch, list | tuple):
            raise PlanError(
                f"{cut.whose} gave a list first, which is a batch, and as element {number:,} {shown(batch)}, which "
                f"is none. Give batches only; or items only, and their number a batch as batch_size."
            )
        yield batch


class _Mark:
    """Where a batch begins and ends."""

    __slots__ = ("count", "end", "first", "first_item", "last_item", "start")

    def __init__(self, start: int, first: int, item: Any) -> None:
        self.start = self.end = start
        self.first, self.count = first, 0
        self.first_item = self.last_item = item


class _Marks:
    """Where the batches of a plan begin and end, as its items come."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._size = cut.size or LEAST_SIZE
        self._most = cut.most if cut.size or cut.ready else min(cut.most, MOST_BATCHES)
        self._marks: list[_Mark] = []
        self.items = 0

    def add(self, step: _Step, start: int, end: int) -> None:
        """Add an item to the batch that it belongs to.

        :raises PlanError: if that is one batch too many.
        """
        if step.begins if self._cut.ready else self.items % self._size == 0:
            self._begin(step, start)
        if step.line:
            mark = self._marks[-1]
            mark.end, mark.last_item = end, step.item
            mark.count += 1
            self.items += 1

    def _begin(self, step: _Step, start: int) -> None:
        if len(self._marks) == self._most:
            if self._cut.size or self._cut.ready:
                raise PlanError(self._too_many())
            self._double()
            if self.items % self._size:
                return
        self._marks.append(_Mark(start, self.items, step.item))

    def _double(self) -> None:
        pairs = zip(self._marks[::2], self._marks[1::2], strict=False)
        for one, other in pairs:
            one.end, one.last_item = other.end, other.last_item
            one.count += other.count
        self._marks, self._size = self._marks[::2], self._size * 2

    def _too_many(self) -> str:
        kind = f"batches of {self._cut.size:,} items" if self._cut.size else "batches"
        return (
            f"{self._cut.whose} made more than {self._most:,} {kind}, and Airflow maps over no more "
            f"([core] max_map_length). Give a larger batch_size, or none: then it is chosen."
        )

    def slices(self, where: str) -> list[Any]:
        """Return the batches as slices."""
        named_by = self._cut.named_by
        return [
            Slice(
                where,
                mark.start,
                mark.end,
                mark.first,
                mark.count,
                self.items,
                [_end(item, named_by) for item in (mark.first_item, mark.last_item) if mark.count],
            ).as_json()
            for mark in self._marks
        ]

    def lists(self, items: Sequence[Any]) -> list[Any]:
        """Return the batches as lists of the items."""
        return [items[mark.first : mark.first + mark.count] for mark in self._marks]


def _as_lists(steps: Sequence[_Step], cut: Cut) -> Planned:
    marks = _Marks(cut)
    for step in steps:
        marks.add(step, 0, 0)
    return Planned(marks.lists([step.item for step in steps if step.line]), marks.items, None)


def _end(item: Any, named_by: Sequence[str] | None) -> Any:
    """Return what a label may show of an item: all of it, or what names it, or nothing, by its length."""
    parts = [item, {name: item[name] for name in named_by}] if named_by else [item]
    return next(filter(_is_short, parts), None)


def _is_short(item: Any) -> bool:
    try:
        text = json.dumps(item, ensure_ascii=False)
        # A column of JSON can't hold NUL in PostgreSQL, nor UTF-8 half a surrogate pair.
        return len(json.dumps(item)) <= _END_BYTES and "\\u0000" not in text and bool(text.encode())
    except (TypeError, ValueError, RecursionError):  # nothing of plain JSON
        return False
