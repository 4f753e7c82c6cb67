"""Partitions: what the pieces of a job are, as plain dicts and text.

`date_range` and your own lists are dimensions; `product` and `zipped` combine them into partitions; `batches`
groups partitions, or anything, where one instance each would be too many; `without` leaves what is not there yet;
`partition_key` and `piece_key` name them. Standard library only: importable, and useful, without Airflow.
"""

from __future__ import annotations

from airflow_mapping_kit.partitions.batching import batches
from airflow_mapping_kit.partitions.dates import date_range, time_window
from airflow_mapping_kit.partitions.keys import parse_partition_key, partition_key, unique_partitions
from airflow_mapping_kit.partitions.pieces import piece_key
from airflow_mapping_kit.partitions.products import product, zipped
from airflow_mapping_kit.partitions.sets import without

__all__ = [
    "batches",
    "date_range",
    "parse_partition_key",
    "partition_key",
    "piece_key",
    "product",
    "time_window",
    "unique_partitions",
    "without",
    "zipped",
]
