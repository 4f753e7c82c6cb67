"""The directories of a staged file that stand for its partition, where a table takes it from its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.keys import partition_key
from airflow_mapping_kit.tables.described import column_of, home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.tables.described import Table


def hive_directory(table: Table, partition: Mapping[str, Any]) -> str:
    """Return the directories below a run's folder, none of a table that doesn't look at them.

    `date=2013-01-01/origin=EWR` for a table that is partitioned by its columns `date` and `origin`.

    :raises TargetError: if a column that the table is partitioned by is no dimension
    """
    values = {
        column_of(table, dimension)["name"]: value
        for dimension, value in partition.items()
        if home(table, dimension).transform is None
    }
    by = table.get("hive", [])
    for column in by:
        if column not in values:
            raise TargetError(
                f"the table {table['name']} is partitioned by {column}, and no dimension lives in that column itself: "
                f"a staged file has to be of one partition. Partition the table by the plan's dimensions, or by nothing"
            )
    return "/".join(partition_key({column: values[column]}) for column in by)
