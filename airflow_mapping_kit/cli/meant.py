"""Which pieces of a run are meant: by key, by label, or by a selection."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure, near
from airflow_mapping_kit.cli.pieces import is_failure
from airflow_mapping_kit.exceptions import PartitionError, SelectionError
from airflow_mapping_kit.partitions.keys import components
from airflow_mapping_kit.partitions.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mapping_kit.cli.pieces import Told

# By what equal keys are told apart.
_NUMBER = re.compile(r"#\d+\Z")
# Among so many names one is looked for that is meant by a mistyped one.
_LIKE = 10_000

Place = tuple[str, int]


class _Named:
    """The pieces that a key, a label or a selection stands for: where those are that failed, and what all became."""

    def __init__(self, run_state: str) -> None:
        self.failed: set[Place] = set()
        self.states: Counter[str] = Counter()
        self._run_state = run_state

    def add(self, task: str, row: dict[str, Any]) -> None:
        """Add a piece."""
        self.states[str(row["state"])] += 1
        if is_failure(row["state"], self._run_state):
            self.failed.add((task, row["map_index"]))


def failed_pieces(told: Sequence[Told], keys: Sequence[str], run_state: str) -> set[Place]:
    """Return the instances, by task and map index, of pieces that are meant and failed.

    All pieces are gone through once, and once more for selections: there may be a million.

    :param keys: a key or a label where any piece has just that; else a selection of dimensions.
    :raises Failure: if there is none of a key, or none of it that failed.
    """
    by_key = {key: _Named(run_state) for key in keys}
    for task, row in _rows(told):
        for name in {row["key"], row["label"]}.intersection(by_key):
            by_key[name].add(task, row)
    found: set[Place] = set()
    for key, of_key in by_key.items():
        named = of_key if of_key.states else _selected(told, key, run_state)
        if not named.states:
            known = (
                name for _, row in _rows(told) for name in (row["key"], row["label"]) if name is not None
            )
            names = ", ".join(one.task for one in told)
            raise Failure(f"No piece of {names} has the key {key!r}.{near(key, islice(known, _LIKE))}")
        if not named.failed:
            raise Failure(_said_of_none(key, named.states))
        found |= named.failed
    return found


def _rows(told: Sequence[Told]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((one.task, row) for one in told for row in one.rows)


def _selected(told: Sequence[Told], text: str, run_state: str) -> _Named:
    """Return the pieces that a selection has, none where it is about no dimension: a label that is mistyped is none."""
    found = _Named(run_state)
    if "=" not in text:
        return found
    names = dict.fromkeys(name for _, row in _rows(told) for name in _partition(row["key"]))
    try:
        selection = Selection.parse(text)
        selection.check(names)
    except SelectionError as error:
        known = (row["key"] for _, row in _rows(told) if row["key"] is not None)
        raise Failure(
            f"No piece has the key {text!r}, and {error}.{near(text, islice(known, _LIKE))}"
        ) from None
    wanted = set(selection.names)
    for task, row in _rows(told):
        partition = _partition(row["key"])
        if wanted <= partition.keys() and selection.matches(partition, row["label"]):
            found.add(task, row)
    return found


def _partition(key: str | None) -> dict[str, str | None]:
    """Return what a key says of each dimension; nothing where it is none of a partition, or not known."""
    try:
        return components(_NUMBER.sub("", key)) if key else {}
    except PartitionError:
        return {}


def _said_of_none(key: str, states: Counter[str]) -> str:
    said = ", ".join(states)
    number = states.total()
    are = (
        f"{key} is in state {said}" if number == 1 else f"The {number:,} pieces of {key} are in state {said}"
    )
    return f"{are}, so there is nothing to retry: only what failed is run again."
