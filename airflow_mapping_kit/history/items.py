"""What became of the items of batches that failed: an instance says of a batch only that it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.history.plans import values
from airflow_mapping_kit.history.states import letter_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work


@dataclass(frozen=True)
class Items:
    """The items of one batch, in its order.

    :param letters: what became of each.
    :param rows: what is kept of each, `None` where nothing is.
    """

    letters: list[str]
    rows: list[Any]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.letters)


def items_of(tables: Tables, target: Target, works: Sequence[Work]) -> dict[tuple[str, int], Items]:
    """Return what became of the items of batches that failed, by run and map index."""
    if target.batched is None:
        return {}
    failed = {
        (work.run.id, index): len(work.pieces.held_by(index))
        for work in works
        if work.pieces.ends is not None
        for index, tries in work.tries.items()
        if index < work.pieces.instances and any(one.state == FAILED for one in tries)
    }
    if not failed:
        return {}
    found: dict[tuple[str, int], Items] = {}
    rows = tables.of_failed({run_id for run_id, _ in failed}, target.items_keys)
    for row, value in zip(rows, values(rows), strict=True):
        place = row.run_id, row.map_index
        if _are_results(value) and len(value) == failed.get(place):
            letters = [letter_of(one.get("state")) for one in value]
            # Somebody marked it failed afterwards: then so are its items.
            if any(one.get("state") in {FAILED, NOT_STARTED} for one in value):
                found[place] = Items(letters, value)
    return found


def _are_results(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "state" in one for one in value)
