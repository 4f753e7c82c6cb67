"""Cut a list into batches that keep to a number of items and a size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.sequences import ordered, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


def batches(
    items: Iterable[Item], *, batch_size: int | None = None, max_json_bytes: int | None = None
) -> list[list[Item]]:
    r"""Return the items in lists. A list ends at the limit that it reaches first.

    `batches([1, 2, 3], batch_size=2)` gives `[[1, 2], [3]]`, and `batches([], batch_size=2)` gives `[]`. The items keep
    their order, and no item is split.

    :param items: a list, or any iterable with an order
    :param batch_size: the most items in a batch
    :param max_json_bytes: the most bytes of a batch as JSON, counted as Airflow stores an XCom,
        `len(json.dumps(batch))`: with `, ` and `: ` as separators, and text outside ASCII as `\u00e9`. Other forms of
        the same JSON (compact, or UTF-8) are never longer.
    :raises PartitionError: if no limit is given, a limit is not a whole number above 0, the items are not a list,
        or a single item is larger than `max_json_bytes` or can't be JSON
    :raises PlanError: if there are more than 1,000,000 items
    """
    if batch_size is None and max_json_bytes is None:
        raise PartitionError("batches() has no limit: pass batch_size (items), max_json_bytes, or both")
    for name, limit in (("batch_size", batch_size), ("max_json_bytes", max_json_bytes)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise PartitionError(f"{name} is {shown(limit)}: pass a whole number of at least 1")
    all_items = ordered("'items'", items)
    most = len(all_items) if batch_size is None else batch_size
    if max_json_bytes is None:
        return [all_items[start : start + most] for start in range(0, len(all_items), most)]
    return list(_by_size(all_items, most, max_json_bytes))


def _by_size(items: list[Item], batch_size: int, max_json_bytes: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    batch_bytes = 0
    for index, item in enumerate(items):
        item_bytes = _json_bytes(item, index)
        if item_bytes + len("[]") > max_json_bytes:
            raise PartitionError(
                f"item {index}, {shown(item)}, takes {item_bytes + len('[]'):,} bytes as a batch of its own: "
                f"raise max_json_bytes={max_json_bytes:,}, or pass a reference (a key, a path) to the data"
            )
        longer = batch_bytes + len(", ") + item_bytes
        if batch and len(batch) < batch_size and longer <= max_json_bytes:
            batch_bytes = longer
        else:
            if batch:
                yield batch
            batch, batch_bytes = [], len("[]") + item_bytes
        batch.append(item)
    if batch:
        yield batch


def _json_bytes(item: Any, index: int) -> int:
    try:
        return len(json.dumps(item, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PartitionError(
            f"item {index}, {shown(item)}, can't be written as JSON ({error}): "
            f"pass text, numbers, booleans, None, and lists and dicts of them"
        ) from None
