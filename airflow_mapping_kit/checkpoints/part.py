"""The results of one batch while it is worked on: in memory for a second, unless they are to be a list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mapping_kit.checkpoints.rows import DONE, Line, Returned, row_of, text_of
from airflow_mapping_kit.compat import AirflowFailException, xcom_json
from airflow_mapping_kit.failures import reason
from airflow_mapping_kit.results import PART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_mapping_kit.results import ItemResult, ItemRow

# So much of what went wrong a summary tells: the commonest errors, and the first keys.
_ERRORS, _FAILED = 5, 20
# A key may have 512 bytes, and the fan-in reads a thousand summaries at once.
_FAILED_BYTES = 1000
# Errors that each are of one item only would grow with the items.
_ERRORS_COUNTED = 1000


class Place(Protocol):
    """Where results are kept: files, XComs of the task that made the plan, the store of the instance, or nowhere."""

    @property
    def kept_with(self) -> str | None:
        """What a log calls it, `None` where nothing is kept."""

    @property
    def outlives_tries(self) -> bool:
        """Whether a retry finds what is kept."""

    @property
    def holds_parts(self) -> bool:
        """Whether results may stay there instead of in a list."""

    @property
    def save_bytes(self) -> int:
        """So many are not waited with any longer."""

    def begin(self) -> None:
        """Prepare for the first try of all, in place of `load`."""

    def load(self) -> Iterator[str]:
        """Yield the lines that earlier tries left since somebody cleared the instance, if any."""

    def add(self, lines: Sequence[Line]) -> None:
        """Keep lines."""

    def begin_afresh(self) -> None:
        """Delete what earlier tries left."""

    def finish(self, lines: Sequence[Line], keep: Callable[[int], bool]) -> dict[str, Any]:
        """Keep the last lines; return what a summary says of where all are."""

    def succeeded(self) -> None:
        """Delete what only a retry would want. Airflow 3.x."""


@dataclass(frozen=True)
class Span:
    """Which items a batch holds.

    :param first: the number of its first one.
    """

    first: int
    count: int
    total: int


class Part:
    """What became of the items of a batch. Not to be used by several threads at once.

    :param place: where results are kept.
    :param instance: the instance that works on it.
    :param span: which items.
    :param as_list: whether they are to be a list, as long as that is not too long for an XCom.
    :param most_bytes: so much JSON of what items returned a list may have.
    """

    def __init__(self, place: Place, instance: Any, span: Span, *, as_list: bool, most_bytes: int) -> None:
        self.place = place
        self.span = span
        self._instance = instance
        # By the numbers of the items, while it is to be a list.
        self.by_item: dict[int, ItemResult] | None = {} if as_list else None
        # Of items that have one that is not their key, until their results are lines.
        self.labels: dict[int, str] = {}
        self.states: Counter[str] = Counter()
        self.failed: list[ItemResult] = []
        self.final = 0
        self._named = 0
        self._errors: Counter[str] = Counter()
        # Of what an earlier try was done with, what its keys were.
        self._done: dict[int, int] = {}
        # A call that nobody could end may be back when its item has a result.
        self._has = bytearray(span.count)
        self._room = most_bytes
        self._unsaved: list[Line] = []
        self._unsaved_bytes = self._bytes = 0
        self._save_at = place.save_bytes

    def take_over(self, keyed: Callable[[], Iterable[tuple[int, str]]]) -> int:
        """Take over what an earlier try was done with, and return how many items that are.

        :param keyed: gives the numbers and the keys that the items have now: of a plan that was made again, others.
        """
        if self._instance.try_number <= 1:
            self.place.begin()
            return 0
        if self.by_item is not None:
            return self._take_over_rows(keyed)
        for line in self.place.load():
            row = row_of(line, values=False)
            if row["state"] in DONE and row["item"] not in self._done:
                self._done[row["item"]] = hash(row["key"])
                self.states[row["state"]] += 1
                self._bytes += len(line) + 1
        if self._done:
            same = sum(self._done.get(item) == hash(key) for item, key in keyed())
            if same < len(self._done):
                self.place.begin_afresh()
                self._done, self._bytes = {}, 0
                self.states.clear()
        return len(self._done)

    def is_done(self, item: int) -> bool:
        """Tell whether an earlier try was done with an item."""
        return item in self._done

    def add(self, item: int, result: ItemResult) -> bool:
        """Add a result, the first of its item; tell whether it is time to save."""
        at = item - self.span.first
        if self._has[at]:
            return False
        self._has[at] = 1
        text = "null"
        if isinstance(result["value"], Returned):
            result["value"], text = result["value"]
        elif result["value"] is not None:
            text = xcom_json(result["value"])
        label = self.labels.get(item) if self.by_item is not None else self.labels.pop(item, None)
        line = Line(text_of(item, result, text, label), result["state"] in DONE)
        self._count(result)
        if self.by_item is not None:
            self.by_item[item] = result
            self._room -= 0 if result["value"] is None else len(text)
            if self._room < 0 and self.place.holds_parts:
                self._be_no_list()
        # Of a list a retry wants what is done; the rest is in the list.
        size = len(line.text) + 1
        self._bytes += size
        if self.by_item is None or line.done:
            self._unsaved.append(line)
            self._unsaved_bytes += size
        if self._unsaved_bytes < self._save_at:
            return False
        # Where saving fails it is not tried again with every item.
        self._save_at += self.place.save_bytes
        return True

    def save(self) -> None:
        """Keep what is not kept yet."""
        if self._unsaved:
            self.place.add(self._unsaved)
            self._forget_unsaved()

    def _forget_unsaved(self) -> None:
        self._unsaved, self._unsaved_bytes, self._save_at = [], 0, self.place.save_bytes

    def finish(self) -> list[ItemResult] | dict[str, Any]:
        """Return the list of results in the order of the items, or the summary of what is kept of them."""
        first, count = self.span.first, self.span.count
        if self.by_item is not None:
            return [self.by_item[item] for item in range(first, first + count)]
        done = self._done
        where = self.place.finish(self._unsaved, lambda item: done.pop(item, None) is not None)
        self._forget_unsaved()
        return {
            PART: {
                "first": first,
                "count": count,
                "total": self.span.total,
                "bytes": self._bytes,
                "states": dict(self.states),
                "errors": [[error, number] for error, number in self._errors.most_common(_ERRORS)],
                "failed": [row["key"] for row in self.failed],
                "map_index": self._instance.map_index,
                "max_tries": self._instance.max_tries,
                **where,
            }
        }

    @property
    def unsaved(self) -> int:
        """How many items are done, or have failed, and are not kept yet."""
        return len(self._unsaved)

    def _count(self, result: ItemResult) -> None:
        self.states[result["state"]] += 1
        if result["state"] in DONE:
            return
        error = result["error"]
        self.final += error is not None and error["type"] == AirflowFailException.__name__
        if len(self.failed) < _FAILED and (
            not self.failed or self._named + len(result["key"]) <= _FAILED_BYTES
        ):
            self._named += len(result["key"])
            self.failed.append(result)
        name = reason(result)
        if name in self._errors or len(self._errors) < _ERRORS_COUNTED:
            self._errors[name] += 1

    def _be_no_list(self) -> None:
        """Keep elsewhere what was to be a list: from now on nothing stays in memory."""
        assert self.by_item is not None  # noqa: S101
        for item, result in self.by_item.items():
            if result["state"] not in DONE:
                self._unsaved.append(Line(text_of(item, result, "null", self.labels.get(item)), done=False))
        self.by_item, self.labels = None, {}

    def _take_over_rows(self, keyed: Callable[[], Iterable[tuple[int, str]]]) -> int:
        saved: dict[str, ItemRow] = {}
        for row in map(row_of, self.place.load()):
            if row["state"] in DONE:
                saved.setdefault(row["key"], row)
        if not saved:
            return 0
        still = [(item, saved.pop(key)) for item, key in keyed() if key in saved]
        moved = bool(saved) or any(row["item"] != item for item, row in still)
        if moved:
            self.place.begin_afresh()
        for item, row in still:
            result: ItemResult = {name: row[name] for name in _RESULT}  # type: ignore[assignment, literal-required]
            self.add(item, result)
            self._done[item] = hash(row["key"])
        if not moved:
            # They are kept already.
            self._forget_unsaved()
        return len(still)


_RESULT = ("key", "state", "value", "error", "tries", "duration_s")


def max_result_kb() -> int:
    """Return how many KiB of what items return one XCom may have."""
    from airflow.configuration import conf

    return int(conf.getint("mapping_kit", "max_result_kb", fallback=1024))
