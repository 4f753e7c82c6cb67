"""What became of the pieces of a mapped task, as plain JSON: the rows and the counts of a fan-in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUCCESS = "success"
FAILED = "failed"
SKIPPED = "skipped"
UPSTREAM_FAILED = "upstream_failed"
NOT_STARTED = "not_started"

# What a tolerance counts: every piece that should have a result and has none, those too that nobody began.
FAILURES = (FAILED, UPSTREAM_FAILED, NOT_STARTED)

# What stands around the summary of an instance that pushed no list of its results.
PART = "mapping_kit_part"

# Airflow's states of a run that has ended, of an instance that is at work (what says most first), and of one that
# waits to begin.
FINISHED_RUN = (SUCCESS, FAILED)
AT_WORK = (
    "running",
    "restarting",
    "deferred",
    "awaiting_input",
    "up_for_retry",
    "up_for_reschedule",
    "queued",
    "scheduled",
)
WAITING = (None, "scheduled", "queued")


class Error(TypedDict):
    """What stopped a piece: the exception's type (`None` where it left none behind) and its message."""

    type: str | None
    message: str


class _Numbered(TypedDict, total=False):
    item: int


class Result(_Numbered):
    """The outcome of one piece.

    `item` is there if the items of the plan are stored outside of it: the number of the item in the plan, from 0. It
    tells items with equal keys in different batches apart.

    `state` is `success`, `failed`, `skipped`, `upstream_failed` or `not_started`; `value` is what a piece
    that succeeded returned; `duration_s` the seconds of its last try, `None` if it never ran.
    """

    key: str
    label: str
    map_index: int
    state: str
    try_number: int
    duration_s: float | None
    value: Any
    error: Error | None


class ItemResult(TypedDict):
    """The outcome of one item of a batch, as the instance that worked on the batch returns it.

    `tries` is how often the item was tried, `duration_s` the seconds of its last try, `None` if it was never tried.
    """

    key: str
    state: str
    value: Any
    error: Error | None
    tries: int
    duration_s: float | None


class _Labelled(TypedDict, total=False):
    label: str


class ItemRow(ItemResult, _Labelled):
    """A line of a part: an `ItemResult` that says which item of the whole plan it is of.

    `item` is the item's number, from 0; `label` is there only where the item has one that is not its key.
    """

    item: int


class _Chunked(TypedDict, total=False):
    chunks: list[list[Any]]


class PartSummary(_Chunked):
    """What an instance pushes in place of its list of results: how many are in which state, and where they are.

    `where` is the URI of a file of JSON Lines, or `xcom`: then `chunks` say which XComs have the rows. `map_index`
    and `max_tries` say whose it is: Airflow 3 does not tell who pushed what. `first` is the number of the first of
    `count` items of `total`, of a batch that came as a list 0; `bytes` the size of all rows as they are kept, of a
    file its size. The counts in `states` add up to `count`. `errors` are the commonest, as text, with how many items
    each stopped; `failed` the first keys of those that failed, and `failed_in` the file that has their rows alone.
    """

    where: str
    map_index: int
    max_tries: int
    first: int
    count: int
    total: int
    bytes: int
    states: dict[str, int]
    errors: list[list[Any]]
    failed: list[str]
    failed_in: str | None


def part_of(value: Any) -> PartSummary | None:
    """Return the summary that an instance pushed, `None` of anything else.

    `{"mapping_kit_part": {"where": "xcom", "count": 2, ...}}` gives `{"where": "xcom", "count": 2, ...}`.
    """
    if not isinstance(value, dict) or value.keys() != {PART}:
        return None
    part: PartSummary = value[PART]
    return part


class Counts(TypedDict):
    """How many pieces there are, and how many of them are in which state."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    upstream_failed: int
    not_started: int


def counts(results: Iterable[Result]) -> Counts:
    """Return how many pieces are in which state.

    Two that succeeded and one that failed give `{"total": 3, "succeeded": 2, "failed": 1, "skipped": 0, ...}`.
    """
    return counts_of(Counter(result["state"] for result in results))


def counts_of(states: Mapping[str, int]) -> Counts:
    """Return the counts of a fan-in from how many pieces are in which state."""
    return {
        "total": sum(states.values()),
        "succeeded": states.get(SUCCESS, 0),
        "failed": states.get(FAILED, 0),
        "skipped": states.get(SKIPPED, 0),
        "upstream_failed": states.get(UPSTREAM_FAILED, 0),
        "not_started": states.get(NOT_STARTED, 0),
    }
