"""Where each partition lives below a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.partitions.keys import partition_key, unique_partitions
from airflow_mapping_kit.tables.hive import hive_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_mapping_kit.tables.described import Table


@dataclass(frozen=True)
class Address:
    """A partition, its key, and its directory below any target.

    The directory is the partition's key, or its parts in another order; readers of the lake take values from it, so
    it has those too of which the key that is shown has a digest.
    """

    partition: dict[str, Any]
    key: str
    directory: str


def addresses(
    partitions: Iterable[Mapping[str, Any]],
    partition_by: Sequence[str] | None,
    table: Table | None = None,
) -> list[Address]:
    """Return where the partitions live, in their order.

    `{"origin": "EWR", "date": "2013-01-01"}` lives in `date=2013-01-01/origin=EWR`; with `partition_by` of
    `["origin", "date"]` in `origin=EWR/date=2013-01-01`.

    :param table: what they are staged for, if for one: then the directories are those that it looks at.
    :raises PartitionError: if one is no partition, two have the same key, or `partition_by` isn't exactly
        one's dimensions
    """
    found = []
    for partition in unique_partitions(partitions):
        key = partition_key(hide(partition, hidden_names()))
        order = sorted(partition) if partition_by is None else list(partition_by)
        if sorted(order) != sorted(partition):
            raise PartitionError(
                f"partition {key}: partition_by={order} has to name each of its dimensions "
                f"({', '.join(sorted(partition))}) once"
            )
        if table is None:
            directory = "/".join(partition_key({name: partition[name]}) for name in order)
        else:
            directory = hive_directory(table, partition)
        found.append(Address(partition, key, directory))
    return found
