"""Combinations of dimensions as tasks."""

from __future__ import annotations

from airflow_mapping_kit import partitions
from airflow_mapping_kit.generators.base import PureGeneratorOperator, generator

product = generator(partitions.product, operator_class=PureGeneratorOperator)
zipped = generator(partitions.zipped, operator_class=PureGeneratorOperator)
