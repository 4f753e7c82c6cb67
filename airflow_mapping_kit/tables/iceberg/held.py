"""Which values a dimension has in a file of an Iceberg table, as far as the table knows without reading it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pyiceberg.conversions import from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table.metadata import TableMetadata

    from airflow_mapping_kit.tables.iceberg.values import Dimension


@dataclass(frozen=True)
class Between:
    """What a dimension may be where there is more than one value, or nobody counted.

    :param lower: `None` if it isn't known
    :param upper: `None` if it isn't known
    :param nulls: whether it may be `NULL`
    """

    lower: Any = None
    upper: Any = None
    nulls: bool = True

    def may_hold(self, value: Any) -> bool:
        """Return whether the value may be among them."""
        if value is None:
            return self.nulls
        return (self.lower is None or self.lower <= value) and (self.upper is None or value <= self.upper)


class Wanted:
    """The partitions that are to be replaced, as the table has them.

    :param dimensions: theirs, in the order of the values
    :param values: of each partition
    """

    def __init__(self, dimensions: Sequence[Dimension], values: Iterable[tuple[Any, ...]]) -> None:
        self.dimensions = dimensions
        self.values = frozenset(values)
        each = list(zip(*self.values, strict=True)) or [()] * len(dimensions)
        self._sorted = [sorted({one for one in column if one is not None}) for column in each]
        self._nulls = [None in column for column in each]

    def may_be_in(self, held: Sequence[Any]) -> bool:
        """Return whether rows of these partitions may be where dimensions are so."""
        if not any(isinstance(one, Between) for one in held):
            return tuple(held) in self.values
        return self._each_may_be_in(held) and any(may_hold(held, value) for value in self.values)

    def may_be_listed_in(self, manifest: ManifestFile, metadata: TableMetadata) -> bool:
        """Return whether a manifest may list files with rows of these partitions, by its summary alone."""
        return self._each_may_be_in([_of_manifest(one, manifest, metadata) for one in self.dimensions])

    def _each_may_be_in(self, held: Sequence[Any]) -> bool:
        """Compare each dimension alone: with a thousand partitions that is much less than comparing each of them."""
        for one, values, nulls in zip(held, self._sorted, self._nulls, strict=True):
            if not isinstance(one, Between):
                continue
            first = 0 if one.lower is None else bisect_left(values, one.lower)
            is_there = first < len(values) and (one.upper is None or values[first] <= one.upper)
            if not is_there and not (nulls and one.nulls):
                return False
        return True


def may_hold(held: Sequence[Any], value: Sequence[Any]) -> bool:
    """Return whether rows of a partition may be where dimensions are so."""
    return all(
        one.may_hold(wanted) if isinstance(one, Between) else one == wanted
        for one, wanted in zip(held, value, strict=True)
    )


def of_file(dimensions: Sequence[Dimension], file: DataFile, metadata: TableMetadata) -> tuple[Any, ...]:
    """Return of each dimension the one value that it has in a file of the table, or what it is between."""
    spec = metadata.specs()[file.spec_id]
    found = []
    for one in dimensions:
        position = _position(one, spec)
        value = by_bounds(one, file) if position is None else file.partition[position]
        # Bounds have the bytes.
        found.append(value.bytes if isinstance(value, UUID) else value)
    return tuple(found)


def by_bounds(dimension: Dimension, file: DataFile) -> Any:
    """Return the one value that a dimension has in a file by what was counted in it, or what it is between."""

    def counted(of: Mapping[int, Any] | None) -> Any:
        return (of or {}).get(dimension.field_id)

    nulls, count = counted(file.null_value_counts), counted(file.value_counts)
    if nulls is not None and nulls == count:
        return None
    lower, upper = (
        None if one is None else dimension.of_moment(from_bytes(dimension.kind, one))
        for one in (counted(file.lower_bounds), counted(file.upper_bounds))
    )
    # Of text that was cut, the upper bound is counted up, so it differs. NaN is in no bound.
    is_one = (
        nulls == 0 and lower is not None and lower == upper and str(dimension.kind) not in {"float", "double"}
    )
    return lower if is_one else Between(lower, upper, nulls != 0)


def _of_manifest(dimension: Dimension, manifest: ManifestFile, metadata: TableMetadata) -> Between:
    spec = metadata.specs()[manifest.partition_spec_id]
    position = _position(dimension, spec)
    if position is None or not manifest.partitions:
        return Between()
    summary = manifest.partitions[position]
    kind: Any = spec.fields[position].transform.result_type(dimension.kind)
    lower, upper = (
        None if one is None else from_bytes(kind, one) for one in (summary.lower_bound, summary.upper_bound)
    )
    return Between(lower, upper, summary.contains_null)


def _position(dimension: Dimension, spec: PartitionSpec) -> int | None:
    """Return which field of a partitioning the dimension is, `None` if it is none."""
    return next(
        (place for place, field in enumerate(spec.fields) if dimension.is_partitioned_by(field)), None
    )
