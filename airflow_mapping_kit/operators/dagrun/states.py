"""The states of runs: which are waited for, and how many runs are asked for at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import ChildRunError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

QUEUED = "queued"
RUNNING = "running"
STATES = (QUEUED, RUNNING, SUCCESS, FAILED)
# Every database takes a query with so many run ids.
_RUNS = 250
# Airflow 3 is asked by a URL, of which servers take 64 KiB.
_CHARACTERS = 32_768


@dataclass(frozen=True)
class Ends:
    """In which states a child run is done.

    :param allowed: those in which it is as it should be.
    :param failed: those in which it has failed its parent.
    """

    allowed: frozenset[str]
    failed: frozenset[str]

    @classmethod
    def of(cls, allowed_states: Iterable[Any] | None, failed_states: Iterable[Any] | None) -> Ends:
        """Return what a DAG's author wrote, with Airflow's defaults.

        :raises ChildRunError: if one is no state of a run, or both have it.

        Example: `Ends.of(["success", "failed"], [])` takes a run that failed as it is.
        """
        allowed = _states("allowed_states", allowed_states or [SUCCESS])
        failed = _states("failed_states", [FAILED] if failed_states is None else failed_states)
        if allowed & failed:
            raise ChildRunError(
                f"allowed_states and failed_states both have {', '.join(map(repr, sorted(allowed & failed)))}: "
                f"leave it out of one of them. What is to be tolerated is allowed_states=['success', 'failed'] with "
                f"failed_states=[]."
            )
        return cls(allowed, failed)

    @property
    def all(self) -> frozenset[str]:
        """The states in which nobody waits for a run any more."""
        return self.allowed | self.failed


def _states(name: str, given: Iterable[Any]) -> frozenset[str]:
    # Text is a sequence of letters, and none of them is a state.
    states = [*given] if hasattr(given, "__iter__") else [given]
    plain = [str(getattr(state, "value", state)) for state in states]
    if not set(plain) <= set(STATES):
        raise ChildRunError(f"{name}={shown(given)}: give a list of states of runs, of {', '.join(STATES)}.")
    return frozenset(plain)


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
