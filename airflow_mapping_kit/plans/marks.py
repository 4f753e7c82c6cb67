"""Where the batches of a plan begin and end, as its items come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.lines import AIRFLOWS, item_of, line_of
from airflow_mapping_kit.plans.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where nobody says how large a batch is: at first so many items, doubled until there are few enough batches. An
# instance costs nearly half a second of CPU, and what is done of a large batch is kept all the same.
LEAST_SIZE, MOST_BATCHES = 50, 256
# An item at the end of a batch is in its label; of one that is longer as JSON nothing is shown.
_END_BYTES = 200


class Cut(NamedTuple):
    """How items are put into batches.

    :param size: how many items each has; `None` for the smallest size that makes at most `most` batches.
    :param most: how many batches there may be.
    :param ready: whether the elements are batches already, lists of items.
    :param named_by: the fields that name an item.
    :param whose: the task that makes the plan, for errors.
    """

    whose: str
    most: int
    size: int | None = None
    ready: bool = False
    named_by: Sequence[str] | None = None


class _Mark:
    """Where a batch begins and ends, and its first and its last line."""

    __slots__ = ("count", "end", "first", "first_line", "last_line", "start")

    def __init__(self, start: int, first: int, line: str) -> None:
        self.start = self.end = start
        self.first, self.count = first, 0
        self.first_line = self.last_line = line


class Marks:
    """Where the batches of a plan begin and end, as its items come."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._size = cut.size or LEAST_SIZE
        self._most = cut.most if cut.size or cut.ready else min(cut.most, MOST_BATCHES)
        self._marks: list[_Mark] = []
        self.items = 0

    def add(self, line: str, begins: bool, start: int, end: int) -> None:
        """Add an item to the batch that it belongs to.

        :param line: the item, nothing for a batch without any.
        :param begins: whether a batch begins with it, if they are made already.
        :param start: where it begins, and where it ends.
        :raises PlanError: if there is now one batch too many.
        """
        if begins if self._cut.ready else self.items % self._size == 0:
            self._begin(line, start)
        if line:
            mark = self._marks[-1]
            mark.end, mark.last_line = end, line
            mark.count += 1
            self.items += 1

    def _begin(self, line: str, start: int) -> None:
        if len(self._marks) == self._most:
            if self._cut.size or self._cut.ready:
                raise PlanError(self._too_many())
            self._double()
            if self.items % self._size:
                return
        self._shorten()
        self._marks.append(_Mark(start, self.items, line))

    def _shorten(self) -> None:
        """Drop what is too long for a label from the last batch: there may be a thousand batches."""
        for mark in self._marks[-1:]:
            mark.first_line, mark.last_line = map(self._short, (mark.first_line, mark.last_line))

    def _short(self, line: str) -> str:
        """Return a line that is the end of a batch, or one of what names it, or nothing, by their lengths."""
        parts = [line]
        if line and self._cut.named_by:
            item = item_of(line)
            parts.append(line_of({name: item[name] for name in self._cut.named_by}, 0))
        return next((part for part in parts if len(part) <= _END_BYTES and part[:1] != AIRFLOWS), "")

    def _double(self) -> None:
        pairs = zip(self._marks[::2], self._marks[1::2], strict=False)
        for one, other in pairs:
            one.end, one.last_line = other.end, other.last_line
            one.count += other.count
        self._marks, self._size = self._marks[::2], self._size * 2

    def _too_many(self) -> str:
        kind = f"batches of {self._cut.size:,} items" if self._cut.size else "batches"
        return (
            f"{self._cut.whose} made more than {self._most:,} {kind}, and Airflow maps over no more ([core] "
            "max_map_length). Set a larger batch_size. Without one, a size that fits is chosen."
        )

    def slices(self, where: str) -> list[Any]:
        """Return the batches as slices."""
        self._shorten()
        return [
            Slice(
                where,
                mark.start,
                mark.end,
                mark.first,
                mark.count,
                self.items,
                [_end(line) for line in (mark.first_line, mark.last_line) if mark.count],
            ).as_json()
            for mark in self._marks
        ]

    def lists(self, items: Sequence[Any]) -> list[Any]:
        """Return the batches as lists of the items."""
        return [items[mark.first : mark.first + mark.count] for mark in self._marks]


def _end(line: str) -> Any:
    """Return the item that a label may show, `None` if it is not plain JSON."""
    try:
        item = json.loads(line)
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        # In JSON PostgreSQL holds no NUL either, nor UTF-8 half a surrogate pair.
        return item if "\\u0000" not in text and text.encode() else None
    except ValueError:  # nothing at all, too
        return None
