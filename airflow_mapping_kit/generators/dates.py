"""Dates, hours, weeks, months, quarters and years as a task."""

from __future__ import annotations

from airflow_mapping_kit import partitions
from airflow_mapping_kit.generators.base import PureGeneratorOperator, generator

date_range = generator(partitions.date_range, operator_class=PureGeneratorOperator)
