"""What became of the pieces of a mapped task, as plain JSON: the rows and the counts of a fan-in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

SUCCESS = "success"
FAILED = "failed"
SKIPPED = "skipped"
UPSTREAM_FAILED = "upstream_failed"
NOT_STARTED = "not_started"

# What a tolerance counts: every piece that should have a result and has none, those too that nobody began.
FAILURES = (FAILED, UPSTREAM_FAILED, NOT_STARTED)

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


class Result(TypedDict):
    """What became of one piece.

    `state` is `success`, `failed`, `skipped`, `upstream_failed` or `not_started`; `value` is what a piece
    that succeeded returned; `duration_s` the seconds that its last try took, `None` if it never ran.
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
    """What became of one item of a batch, as the instance that worked on the batch returns it.

    `tries` is how often the item was tried, `duration_s` the seconds that its last try took, `None` if it
    never was.
    """

    key: str
    state: str
    value: Any
    error: Error | None
    tries: int
    duration_s: float | None


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
    states = Counter(result["state"] for result in results)
    return {
        "total": states.total(),
        "succeeded": states[SUCCESS],
        "failed": states[FAILED],
        "skipped": states[SKIPPED],
        "upstream_failed": states[UPSTREAM_FAILED],
        "not_started": states[NOT_STARTED],
    }
