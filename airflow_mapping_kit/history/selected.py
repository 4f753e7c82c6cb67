"""Which cells of a history a selection means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.history.pieces import BY_KEY
from airflow_mapping_kit.partitions.keys import components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.history.axes import Dimension
    from airflow_mapping_kit.partitions.selection import Selection


def selected(dimensions: Sequence[Dimension], selection: Selection) -> list[int]:
    """Return the cells that a selection means, in rising order.

    :param dimensions: those of the history. Where it knows pieces by their keys alone, a selection may be about what
        is in the keys.
    :raises SelectionError: if it is about a dimension that isn't there.

    Example: of `date` and `origin`, two values each, `origin=EWR` gives `[0, 2]`.
    """
    if [one.name for one in dimensions] == [BY_KEY] and set(selection.names) - {BY_KEY}:
        partitions = _partitions(dimensions[0].values)
        if partitions is not None:
            selection.check(partitions[0] if partitions else ())
            return [cell for cell, one in enumerate(partitions) if selection.matches(one)]
    return selection.cells([(one.name, one.values) for one in dimensions])


def _partitions(keys: Sequence[str]) -> list[dict[str, str | None]] | None:
    """Return what keys name, each with all of their dimensions; `None` where they aren't keys of partitions."""
    try:
        found = [components(key) for key in keys]
    except PartitionError:
        return None
    names = dict.fromkeys(name for one in found for name in one)
    return [{**dict.fromkeys(names), **one} for one in found]
