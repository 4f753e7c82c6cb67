"""Batches by reference in a plan: which items they hold, where those are few enough to be shown one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.keys import components
from airflow_mapping_kit.plans.slices import XCOMS, Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.history.shelf import Shelf
    from airflow_mapping_kit.plans.batches import Batched
    from airflow_mapping_kit.plans.planned import Plan
    from airflow_mapping_kit.results import PartSummary

# Of a run that has more, batches are shown in place of their items: nobody looks at so many, and to read them would
# take as long as the page may take.
MOST_ITEMS, MOST_BYTES = 100_000, 32 * 2**20
# Chunks of items among XComs have so many bytes at most, but for single items that are larger.
_CHUNK = 128 * 2**10


@dataclass(frozen=True)
class References:
    """What each piece of a plan was mapped over, of a plan that has batches by reference.

    :param values: a slice, the summary of a part, or a list.
    """

    values: Sequence[Slice | PartSummary | list[Any]]

    @property
    def items(self) -> int:
        """How many items they hold."""
        return sum(map(_count, self.values))

    @property
    def too_many(self) -> bool:
        """Whether they hold more than is read."""
        return self.items > MOST_ITEMS or sum(map(_bytes, self.values)) > MOST_BYTES

    def read(self, shelf: Shelf, run_id: str) -> list[list[Any]]:
        """Return the items of each.

        :raises StorageError: if they can't be read here.
        """
        found: dict[str, list[Any]] = {}
        batches = []
        for value in self.values:
            if isinstance(value, list):
                batches.append(value)
                continue
            # The same batch may be in several pieces: with every value of another argument.
            known = repr(value)
            if known not in found:
                found[known] = (
                    shelf.items(value, run_id) if isinstance(value, Slice) else shelf.rows(value, run_id)
                )
            batches.append(found[known])
        return batches

    def names(self, plan: Plan, how: Batched) -> list[str]:
        """Return what the batches are called: after their first and last items, so that equal ones are equal."""
        return [_name(value, mapped, how) for value, mapped in zip(self.values, plan, strict=True)]


def references_in(plan: Plan, how: Batched | None) -> References | None:
    """Return the batches of a plan where some are there by reference, `None` where none is."""
    if how is None:
        return None
    found: list[Slice | PartSummary | list[Any]] = []
    by_reference = False
    for mapped in plan:
        batch, reference = how.batch(mapped), how.slice(mapped) or how.part(mapped)
        if reference is not None:
            by_reference = True
            found.append(reference)
        elif batch is not None:
            found.append(batch)
        else:  # a single piece
            return None
    return References(found) if by_reference else None


def _count(value: Slice | PartSummary | list[Any]) -> int:
    if isinstance(value, list):
        return len(value)
    return int(value.count if isinstance(value, Slice) else value["count"])


def _bytes(value: Slice | PartSummary | list[Any]) -> int:
    if isinstance(value, list):
        return 0
    if not isinstance(value, Slice):
        return value["bytes"]
    number = value.end - value.start
    return (number + 1) * _CHUNK if value.where.startswith(XCOMS) else number


def _name(value: Slice | PartSummary | list[Any], mapped: Any, how: Batched) -> str:
    if isinstance(value, list):
        return _ends(value[:1] + value[1:][-1:], mapped, how)
    if isinstance(value, Slice):
        first, count = value.first, value.count
        if None not in value.ends:
            return _ends(value.ends[: min(count, 2)], mapped, how)
    else:
        first, count = value["first"], value["count"]
    return f"items {first + 1:,}–{first + count:,}"


def _ends(values: list[Any], mapped: Any, how: Batched) -> str:
    keys = [_shown(one.key, how.argument) for one in how.items(mapped, values)]
    return " … ".join(dict.fromkeys(keys)) or "no items"


def _shown(key: str, argument: str) -> str:
    """Return the key of an item, of one that is nothing but text the text."""
    try:
        named = components(key)
    except PartitionError:
        return key
    return named[argument] or key if list(named) == [argument] else key
