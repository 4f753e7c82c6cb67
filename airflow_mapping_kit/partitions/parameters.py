"""What a query may ask of a partition beside its values: when its period starts and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.dates import window

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

_NAMES = ("start", "end")


class PeriodOf(NamedTuple):
    """Which dimension of a partition is its period.

    :param dimension: its name
    :param every: how long a period lasts, where its key has minutes and doesn't say so
    :param zone: whose clock it is on
    """

    dimension: str = "date"
    every: str | None = None
    zone: str = "UTC"

    def bounds(
        self, key: str, partition: Mapping[str, Any], asked: Collection[str], given: Collection[str]
    ) -> dict[str, datetime]:
        """Return the `start` and the `end` of a partition's period, if a query asks for them, as moments in UTC.

        Of `{"date": "2024-11-03"}` in New York they are 04:00 of that day and 05:00 of the next.

        :param asked: the query's parameters
        :param given: what it has values for anyway: these are meant by their names
        :raises PartitionError: if the partition has no period there
        """
        wanted = [name for name in _NAMES if name in asked and name not in given]
        if not wanted:
            return {}
        if self.dimension not in partition:
            raise PartitionError(
                f"partition {key}: the query asks for the {wanted[0]} of its period, and it has no dimension "
                f"{self.dimension!r}: say which one is the period, date_dimension='...', or pass {wanted[0]!r} in "
                f"parameters"
            )
        try:
            moments = window(partition[self.dimension], every=self.every, timezone=self.zone)
        except PartitionError as error:
            raise PartitionError(
                f"partition {key}: the query asks for the {wanted[0]} of the period in {self.dimension!r}: {error}"
            ) from None
        found = dict(zip(_NAMES, moments, strict=True))
        return {name: found[name] for name in wanted}
