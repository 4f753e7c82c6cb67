"""Tasks that return a plan: the pieces that Airflow maps over, as JSON."""

from __future__ import annotations

from airflow_mapping_kit.generators.base import generator
from airflow_mapping_kit.generators.batches import batches
from airflow_mapping_kit.generators.dates import date_range
from airflow_mapping_kit.generators.files import file_rows
from airflow_mapping_kit.generators.lake import lake_partitions
from airflow_mapping_kit.generators.products import product, zipped
from airflow_mapping_kit.generators.s3 import s3_keys, s3_partitions
from airflow_mapping_kit.generators.sets import without
from airflow_mapping_kit.generators.sql import sql_rows

__all__ = [
    "batches",
    "date_range",
    "file_rows",
    "generator",
    "lake_partitions",
    "product",
    "s3_keys",
    "s3_partitions",
    "sql_rows",
    "without",
    "zipped",
]
