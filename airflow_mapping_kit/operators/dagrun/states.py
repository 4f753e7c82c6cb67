"""The states of runs, and how many runs are asked for at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

QUEUED = "queued"
RUNNING = "running"
UNFINISHED = frozenset({QUEUED, RUNNING})
# Every database takes a query with so many run ids.
_RUNS = 250
# Airflow 3 is asked by a URL, of which servers take 64 KiB.
_CHARACTERS = 32_768


def chunked(run_ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Give run ids in portions that can be asked for at once."""
    chunk: list[str] = []
    length = 0
    for run_id in run_ids:
        if chunk and (len(chunk) == _RUNS or length + len(run_id) > _CHARACTERS):
            yield tuple(chunk)
            chunk, length = [], 0
        chunk.append(run_id)
        length += len(run_id)
    if chunk:
        yield tuple(chunk)
