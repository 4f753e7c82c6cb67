"""The partitions of a lake, as a task."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator
from airflow_mapping_kit.partitions.keys import check_name, partition_key
from airflow_mapping_kit.partitions.limits import MOST_PIECES, TOO_MANY
from airflow_mapping_kit.partitions.sequences import ordered, shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.storage.lake import published
from airflow_mapping_kit.storage.uris import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class LakeOperator(GeneratorOperator):
    """A generator that checks the place and the dimensions when the DAG is parsed, and lists when it runs."""

    def check_literals(self) -> None:
        """Check where to look, and for what.

        :raises MappingKitError: naming what cannot be.
        """
        try:
            given = inspect.signature(_lake).bind(*self.op_args, **self.op_kwargs).arguments
        except TypeError:  # the call says what is wrong
            return
        if not known_at_run_time(given.get("target")):
            target_of(given["target"])
        if not known_at_run_time(given.get("dimensions")):
            _names(given.get("dimensions"))


def _lake(
    target: str, *, dimensions: Sequence[str] | None = None, aws_conn_id: str | None = "aws_default"
) -> list[dict[str, str | None]]:
    """List the partitions that `DuckDBPartitionOperator` published below a target, sorted by their keys.

    A directory counts if it has a `data_0.parquet`, and the name that the operator would give it. Directories without
    this file, temporary files, and files of other programs don't count. A target that doesn't exist yet has no
    partitions. A target that can't be listed is an error, never an empty list.

    :param target: the target of the operator: a directory, `s3://bucket/prefix`, `gs://connection@bucket/prefix` or
        `az://connection@container/prefix` (templated)
    :param dimensions: the dimensions of the partitions, in any order, if there are also others below the target. By
        default all partitions must have the same dimensions (templated)
    :param aws_conn_id: the Airflow connection for an `s3://` target that names none itself; with `None`, boto3's own
        credentials (templated)
    :return: `[{dimension: value}, ...]`, values as text, `None` for `__HIVE_DEFAULT_PARTITION__`
    :raises TargetError: if the target is not valid, or can't be listed
    :raises StorageError: if the bucket doesn't exist or the credentials are refused
    :raises PartitionError: naming two partitions whose dimensions differ
    :raises PlanError: if there are more than 1,000,000

    Example: `lake_partitions("s3://lake/flights")` gives `[{"date": "2013-01-01", "origin": "EWR"}, ...]` for
    `flights/date=2013-01-01/origin=EWR/data_0.parquet` and its neighbours.
    """
    names = _names(dimensions)
    found: dict[str, dict[str, str | None]] = {}
    first: dict[str, str | None] = {}
    # A template gives text, so no connection may come as "".
    for partition in published(target, aws_conn_id=aws_conn_id or None, dimensions=names):
        first = first or partition
        if partition.keys() != first.keys():
            both = f"{shown(partition_key(first))} and {shown(partition_key(partition))}"
            raise PartitionError(
                f"The partitions {both} below {target} have different dimensions: name the ones that you mean, e.g. "
                f"dimensions={sorted(first)}"
            )
        found[partition_key(partition)] = partition
        if len(found) > MOST_PIECES:
            raise PlanError(f"Below {target} are over {MOST_PIECES:,} partitions, and {TOO_MANY}")
    return [found[key] for key in sorted(found)]


def _names(dimensions: Any) -> list[str] | None:
    if dimensions is None:
        return None
    names = ordered("'dimensions'", dimensions)
    for name in names:
        check_name(name)
    if not names:
        raise PartitionError("dimensions=[] names none: name those of the partitions, or leave it out")
    return names


_lake.__name__ = "lake_partitions"
lake_partitions = generator(_lake, operator_class=LakeOperator)
