"""What of a plan is not there yet, as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.generators.base import PureGeneratorOperator, generator

if TYPE_CHECKING:
    from collections.abc import Iterable


class WithoutOperator(PureGeneratorOperator):
    """A generator of what is not there: what it leaves out is left out on purpose."""


def missing(plan: Iterable[Any], there: Iterable[Any]) -> list[Any]:
    """Return the partitions of a plan that don't exist yet, in the plan's order, compared by their keys.

    `without(product(...), lake_partitions("s3://lake/flights"))` returns the partitions of the product that nobody has
    published. If nothing exists, that is the whole plan. If nothing is missing, the tasks that are mapped over the
    result are skipped.

    :param plan: partitions, or their keys: a list, or the output of a task
    :param there: the same: what `lake_partitions`, `s3_partitions`, `sql_rows` or a task of yours gives. Partitions
        that the plan doesn't have are ignored
    :return: those of the plan's entries that are missing
    :raises PartitionError: naming what is no partition and no key; or if nothing that is there has the dimensions of
        anything in the plan, for then all of it would be missing by mistake

    Example: `without([{"date": "2013-01-01"}, {"date": "2013-01-02"}], ["date=2013-01-01"])` gives
    `[{"date": "2013-01-02"}]`.
    """
    return partitions.without(plan, there, hidden=hidden_names())


missing.__name__ = "without"
without = generator(missing, operator_class=WithoutOperator)
