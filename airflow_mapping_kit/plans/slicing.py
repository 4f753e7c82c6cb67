"""A plan of batches, made of items as they come: as lists if it is small, otherwise stored elsewhere as slices.

Memory does not grow with the number of items: only the beginning and the end of each batch are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.lines import line_of
from airflow_mapping_kit.plans.marks import Cut, Marks
from airflow_mapping_kit.plans.naming import check_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

# As JSON. What is larger is not passed on as it is: every instance would read all of it.
MOST_BYTES = 256 * 1024


class Place(Protocol):
    """Where the items of a plan are stored, a line per item."""

    where: str

    def add(self, line: str) -> tuple[int, int]:
        """Store a line; return where it begins and where it ends, as a slice needs it."""
        ...


class Planned(NamedTuple):
    """A plan to map over.

    :param batches: lists of items, or slices as JSON.
    :param items: how many items they have.
    :param where: where the items are stored, `None` for lists.
    """

    batches: list[Any]
    items: int
    where: str | None


def planned(
    elements: Iterable[Any],
    cut: Cut,
    place: AbstractContextManager[Place] | None,
    *,
    most_bytes: int = MOST_BYTES,
) -> Planned:
    """Return the plan of items, or of batches, as lists if it is small.

    :param place: where the items are stored if it is not; `None` if everything must be lists.
    :raises PlanError: if an item can't be JSON, or there are more batches than there may be.

    Example: 250 items and a size of 100 make three lists; a million items make at most 256 slices.
    """
    steps = _steps(elements, cut)
    held = list(steps if place is None else _first(steps, most_bytes))
    if place is None or sum(map(_size, held)) <= most_bytes:
        return _as_lists(held, cut)
    marks = Marks(cut)
    with place as kept:
        for step in itertools.chain(held, steps):
            marks.add(step.line, step.begins, *(kept.add(step.line) if step.line else (0, 0)))
    return Planned(marks.slices(kept.where), marks.items, kept.where)


def begins_with_a_batch(elements: Any) -> tuple[bool, Any]:
    """Return whether the first of some elements is a list, and all of them."""
    first: Sequence[Any] = elements[:1] if isinstance(elements, list | tuple) else []
    if isinstance(elements, Iterator):
        first = list(itertools.islice(elements, 1))
        elements = itertools.chain(first, elements)
    return any(isinstance(one, list | tuple) for one in first), elements


def _first(steps: Iterator[_Step], most_bytes: int) -> Iterator[_Step]:
    """Yield elements until they have more than a number of bytes together."""
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
                f"{cut.whose} returned a list first, which is a batch, and then as element {number:,} "
                f"{shown(batch)}, which is not a list. Return only batches, or return only items and set "
                "batch_size."
            )
        yield batch


def _as_lists(steps: Sequence[_Step], cut: Cut) -> Planned:
    marks = Marks(cut)
    for step in steps:
        marks.add(step.line, step.begins, 0, 0)
    return Planned(marks.lists([step.item for step in steps if step.line]), marks.items, None)
