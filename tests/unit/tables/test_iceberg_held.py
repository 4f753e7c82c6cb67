"""What a file of an Iceberg table may hold, by what the table says of it."""

from __future__ import annotations

import pytest
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, NestedField, StringType, TimestampType

from airflow_mapping_kit.tables.iceberg.held import Between, Wanted, by_bounds
from airflow_mapping_kit.tables.iceberg.values import Dimension

DAY = 86_400_000_000


def dimension(kind, transform=None):
    schema = Schema(NestedField(1, "c", kind))
    return Dimension(
        "d",
        {
            "name": "t",
            "columns": [{"name": "c"}],
            "dimensions": {"d": {"column": "c", "transform": transform}},
        },
        schema,
    )


def file(kind, lower=None, upper=None, nulls=0, count=9):
    def counted(value):
        return {} if value is None else {1: value}

    return DataFile.from_args(
        value_counts=counted(count),
        null_value_counts=counted(nulls),
        lower_bounds=counted(None if lower is None else to_bytes(kind, lower)),
        upper_bounds=counted(None if upper is None else to_bytes(kind, upper)),
    )


@pytest.mark.parametrize(
    ("kind", "transform", "counted", "expected"),
    [
        (StringType(), None, {"lower": "EWR", "upper": "EWR"}, "EWR"),
        (StringType(), None, {"lower": "EWR", "upper": "EWR", "nulls": 1}, Between("EWR", "EWR", True)),
        (StringType(), None, {"lower": "EWR", "upper": "EWR", "nulls": None}, Between("EWR", "EWR", True)),
        (StringType(), None, {"nulls": 9}, None),
        (
            StringType(),
            None,
            {"lower": "x" * 16, "upper": "x" * 15 + "y"},
            Between("x" * 16, "x" * 15 + "y", False),
        ),
        (StringType(), None, {}, Between(None, None, False)),
        (StringType(), None, {"nulls": None, "count": None}, Between()),
        (TimestampType(), "day", {"lower": -DAY, "upper": -1}, -1),
        (TimestampType(), "day", {"lower": -1, "upper": 0}, Between(-1, 0, False)),
        (DoubleType(), None, {"lower": 1.0, "upper": 1.0}, Between(1.0, 1.0, False)),
    ],
)
def test_a_file_holds_one_value_only_where_that_is_certain(kind, transform, counted, expected):
    assert by_bounds(dimension(kind, transform), file(kind, **counted)) == expected


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (("a", 1), True),
        (("a", 2), False),
        ((None, 2), True),
        ((Between("A", "Z", False), 1), False),
        ((Between("a", "z", False), 1), True),
        ((Between("a", "z", False), 2), False),
        ((Between("x", None, True), 2), True),
        ((Between(), Between()), True),
        ((Between(None, "0", False), Between()), False),
    ],
)
def test_partitions_may_be_where_each_of_their_values_may_be_at_once(held, expected):
    wanted = Wanted([dimension(StringType())] * 2, [("a", 1), (None, 2)])

    assert wanted.may_be_in(held) is expected
