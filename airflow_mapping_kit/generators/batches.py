"""Lists of lists as a task."""

from __future__ import annotations

from airflow_mapping_kit import partitions
from airflow_mapping_kit.generators.base import PureGeneratorOperator, generator

batches = generator(partitions.batches, operator_class=PureGeneratorOperator)
