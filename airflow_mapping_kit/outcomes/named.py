"""The items of a batch that nobody worked on, by the names that the plan gives them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.checkpoints.parts import rows_of
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.plans.held import items_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.outcomes.rows import RowsOfItems
    from airflow_mapping_kit.plans.batches import Batched
    from airflow_mapping_kit.reading.instances import Reading

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """Where rows are read, and how.

    :param values: whether what the items returned is wanted.
    :param left_out: gets the types of values that have no form in plain JSON.
    """

    read: Reading
    dag_id: str
    run_id: str
    values: bool
    left_out: set[str]


@dataclass(frozen=True)
class Extent:
    """Which items of all that the plan has a batch has: `count` of `total`, numbered from 0, from `first` on.

    :param counted: whether its items are numbered within the whole plan; of a list they are within the batch.
    """

    first: int
    count: int
    total: int
    counted: bool

    def __str__(self) -> str:
        """Return it as people count: `items 11–20 of 100`."""
        return f"items {self.first + 1:,}–{self.first + self.count:,} of {self.total:,}"


def named_items(
    make: RowsOfItems, run: Run, arguments: Mapping[str, Any], extent: Extent, index: int
) -> Iterator[tuple[int, str, str]]:
    """Yield number, key and label of every item of a batch; where its plan can't be read, its number alone names it.

    :param arguments: what the piece was mapped over.
    :param index: its map index.
    """
    seen, known = Counter[str](), bytearray(extent.count)
    if make.how is None:
        return
    try:
        for number, value in _values(make.how, run, arguments, extent):
            (item,) = make.how.items(arguments, [value])
            seen[item.key] += 1
            label = make.label(item, arguments)
            # What a task before it has told apart stays so, in whichever order its items ended.
            key = value["key"] if make.how.chained else item.key
            if not make.how.chained and seen[item.key] > 1:
                key = f"{key}#{seen[item.key]}"
            known[number - extent.first] = 1
            yield number, key, key if label == item.key else label
    except StorageError as error:
        # What is done counts all the same, and so does what is not.
        log.warning("Items of [%d] are called by their numbers: %s", index, error)
    for number, is_known in enumerate(known, extent.first):
        if not is_known:
            yield number, f"item={number + 1}", f"item={number + 1}"


def _values(
    how: Batched, run: Run, arguments: Mapping[str, Any], extent: Extent
) -> Iterator[tuple[int, Any]]:
    one, part = how.slice(arguments), how.part(arguments)
    if one is not None:
        yield from items_of(one, run.read, run.dag_id, run.run_id)
    elif part is not None:
        # Of a chain: the rows of the part before.
        for row in rows_of(part, run.read, run.dag_id, run.run_id):
            yield row["item"], row
    else:
        yield from enumerate(how.batch(arguments) or (), extent.first)
