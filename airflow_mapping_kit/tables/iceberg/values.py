"""A partition of a plan as an Iceberg table has it: 2013-01-01 is day 15706, in a column and in day(ts) alike."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.expressions.literals import AboveMax, BelowMin, literal
from pyiceberg.transforms import parse_transform

from airflow_mapping_kit.exceptions import PartitionError, TargetError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.described import column_of, home, period_begin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.partitioning import PartitionField
    from pyiceberg.schema import Schema

    from airflow_mapping_kit.tables.described import Table

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Dimension:
    """A dimension of a plan in a table: the column that it lives in, and what of it.

    :param name: of the dimension
    :param table: as it was looked up
    :param schema: the table's of now
    :raises TargetError: if the table has no such column
    """

    def __init__(self, name: str, table: Table, schema: Schema) -> None:
        self.name = name
        self.column = column_of(table, name)["name"]
        field = schema.find_field(self.column)
        self.field_id: int = field.field_id
        self.kind: Any = field.field_type
        self.transform = home(table, name).transform

    def value(self, given: Any) -> Any:
        """Return a value of the plan as the table's files have it: an `int` for a day, and so on.

        :raises TargetError: if it can't be one
        """
        if given is None:
            return None
        try:
            if self.transform is None:
                return _literal(given, self.kind)
            begin = period_begin(self.transform, given).replace(tzinfo=timezone.utc) - _EPOCH
            moment = begin.days if str(self.kind) == "date" else begin // timedelta(microseconds=1)
            return self.of_moment(moment)
        except (PartitionError, TypeError, ValueError) as error:
            raise TargetError(
                f"{shown(given)} can't be a value of the dimension {self.name!r}, which lives in the column "
                f"{self.column!r} of the type {self.kind}: {error}"
            ) from error

    def is_partitioned_by(self, field: PartitionField) -> bool:
        """Return whether a field of a partitioning is this dimension."""
        return field.source_id == self.field_id and str(field.transform) == (self.transform or "identity")

    def of_moment(self, moment: Any) -> Any:
        """Return the period that a moment of the column is in; without a transform the moment itself."""
        if self.transform is None or moment is None:
            return moment

        return parse_transform(self.transform).transform(self.kind)(moment)


def dimensions_of(table: Table, schema: Schema, partition: Mapping[str, Any]) -> list[Dimension]:
    """Return a partition's dimensions, sorted by name."""
    return [Dimension(name, table, schema) for name in sorted(partition)]


def _literal(given: Any, kind: Any) -> Any:
    if str(kind) == "string":
        return given if isinstance(given, str) else str(given).lower()
    if str(kind) in {"timestamp", "timestamptz"}:
        moment = datetime.fromisoformat(given)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    made = literal(given).to(kind)
    if isinstance(made, AboveMax | BelowMin):
        raise ValueError(f"it is none of the type {kind}")  # noqa: TRY004
    # As files have it: a float has 32 bits there.
    return from_bytes(kind, to_bytes(kind, made.value))
