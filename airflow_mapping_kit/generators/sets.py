"""The partitions of a plan that don't exist yet, as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.generators.base import PureGeneratorOperator, generator

if TYPE_CHECKING:
    from collections.abc import Iterable


class WithoutOperator(PureGeneratorOperator):
    """A generator of missing partitions: it leaves out the others on purpose."""


def missing(plan: Iterable[Any], there: Iterable[Any]) -> list[Any]:
    """Return the partitions of a plan that don't exist yet, in the plan's order, compared by their keys.

    `without(product(...), lake_partitions("s3://lake/flights"))` returns the partitions of the product that nobody has
    published. If nothing exists, this is the whole plan. If nothing is missing, Airflow skips the tasks that are mapped
    over the result.

    :param plan: partitions, or their keys: a list, or the output of a task
    :param there: the partitions that exist, in the same form, from `lake_partitions`, `s3_partitions`, `sql_rows` or a
        task of your own. Partitions that the plan doesn't have are ignored
    :return: the entries of the plan that are missing
    :raises PartitionError: naming an entry that is neither a partition nor a key; or if no entry of `there` has the
        dimensions of an entry of the plan, because the whole plan would be missing by mistake

    Example: `without([{"date": "2013-01-01"}, {"date": "2013-01-02"}], ["date=2013-01-01"])` gives
    `[{"date": "2013-01-02"}]`.
    """
    return partitions.without(plan, there, hidden=hidden_names())


missing.__name__ = "without"
without = generator(missing, operator_class=WithoutOperator)
