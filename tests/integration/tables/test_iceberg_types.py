"""Every type of Iceberg's columns there and back; dimensions of each; schemas and partitionings that changed."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.publish import publish
from iceberg_tables import run_id, stage

ID = uuid.UUID("0b1f0d5e-7d2e-4a3c-9d2c-3b0f5d1c2a11")
# Of each type: how DuckDB says a value, and what it is in Python.
VALUES = {
    "boolean": (BooleanType(), "true", True),
    "int": (IntegerType(), "(-2147483648)::INTEGER", -(2**31)),
    "long": (LongType(), "9223372036854775807", 2**63 - 1),
    "float": (FloatType(), "1.5::FLOAT", 1.5),
    "double": (DoubleType(), "0.1::DOUBLE", 0.1),
    "decimal_4": (DecimalType(4, 1), "-12.5::DECIMAL(4,1)", Decimal("-12.5")),
    "decimal_18": (DecimalType(18, 3), "123456789012345.678::DECIMAL(18,3)", Decimal("123456789012345.678")),
    "decimal_38": (DecimalType(38, 9), "-0.000000001::DECIMAL(38,9)", Decimal("-0.000000001")),
    "date": (DateType(), "DATE '1969-12-31'", date(1969, 12, 31)),
    "time": (TimeType(), "TIME '23:59:59.999999'", time(23, 59, 59, 999999)),
    "timestamp": (
        TimestampType(),
        "TIMESTAMP '1969-12-31 23:59:59.999999'",
        datetime(1969, 12, 31, 23, 59, 59, 999999),
    ),
    "timestamptz": (
        TimestamptzType(),
        "TIMESTAMPTZ '2013-01-01 00:00:00+02'",
        datetime(2012, 12, 31, 22, tzinfo=timezone.utc),
    ),
    "string": (StringType(), "'Zürich 🛫 ''\"'", "Zürich 🛫 '\""),
    "uuid": (UUIDType(), f"'{ID}'::UUID", ID),
    "binary": (BinaryType(), "'\\x00\\xFF'::BLOB", b"\x00\xff"),
    "list": (ListType(101, IntegerType(), element_required=False), "[1, NULL, 3]", [1, None, 3]),
    "map": (
        MapType(102, StringType(), 103, LongType(), value_required=False),
        "MAP {'a': 1, 'b': NULL}",
        [("a", 1), ("b", None)],
    ),
    "struct": (
        StructType(
            NestedField(104, "a b", IntegerType()),
            NestedField(
                105,
                "deep",
                ListType(106, StructType(NestedField(107, "x.y", StringType())), element_required=False),
            ),
        ),
        "{'a b': 1, 'deep': [{'x.y': 'z'}, NULL]}",
        {"a b": 1, "deep": [{"x.y": "z"}, None]},
    ),
}


def schema_of(**types):
    return Schema(*(NestedField(number + 1, name, kind) for number, (name, kind) in enumerate(types.items())))


def plain(value):
    """Return a value as the test says it, whichever class pyarrow has for UUIDs."""
    return uuid.UUID(bytes=value) if isinstance(value, bytes) and len(value) == 16 else value


def test_every_type_comes_back_as_it_went(lake):
    name = lake.create(schema_of(k=StringType(), **{one: kind for one, (kind, _, _) in VALUES.items()}))
    table = lake.look(name)
    values = ", ".join(f"{sql} AS {one}" for one, (_, sql, _) in VALUES.items())
    nulls = ", ".join(f"NULL::{one['type']} AS {one['name']}" for one in table["columns"][1:])

    pieces = [
        *stage(table, f"SELECT {values}", [{"k": "values"}], unused=["k"]),
        *stage(table, f"SELECT {nulls}", [{"k": "nulls"}], unused=["k"]),
    ]
    publish(table, pieces, run_id())

    nulls, values = lake.rows(name)
    assert {one: plain(value) for one, value in values.items()} == {
        "k": "values",
        **{one: value for one, (_, _, value) in VALUES.items()},
    }
    assert nulls == {"k": "nulls", **dict.fromkeys(VALUES)}


def test_dimensions_may_live_in_columns_of_any_plain_type(lake):
    kinds = [one for one in VALUES if one not in {"double", "binary", "list", "map", "struct"}]
    schema = schema_of(**{one: VALUES[one][0] for one in kinds}, n=IntegerType())
    fields = [
        PartitionField(number + 1, 1000 + number, IdentityTransform(), one)
        for number, one in enumerate(kinds)
    ]
    name = lake.create(schema, PartitionSpec(*fields))
    table = lake.look(name)
    given = {
        one: value if isinstance(value, bool | int | float | str) else str(value)
        for one, (_, _, value) in VALUES.items()
    }
    given["timestamp"], given["timestamptz"] = "1969-12-31T23:59:59.999999", "2012-12-31T22:00:00+00:00"
    partitions = [{one: given[one] for one in kinds}, dict.fromkeys(kinds)]
    # Of each another one, that differs in this alone.
    partitions += [{**partitions[0], one: None} for one in kinds]
    publish(table, stage(table, "SELECT 1 AS n", partitions, 1, unused=kinds), run_id(1))

    for run, partition in enumerate(partitions[:2], start=2):
        publish(table, stage(table, f"SELECT {run} AS n", [partition], run, unused=kinds), run_id(run))

    found = {tuple(plain(row[one]) for one in kinds): row["n"] for row in lake.rows(name)}
    values = tuple(VALUES[one][2] for one in kinds)
    assert found.pop(values) == 2
    assert found.pop((None,) * len(kinds)) == 3
    assert found == {tuple(None if one == other else VALUES[one][2] for one in kinds): 1 for other in kinds}


@pytest.mark.parametrize(
    ("transform", "values"),
    [
        (YearTransform(), ("1969", "2013")),
        (MonthTransform(), ("1969-12", "2013-01")),
        (DayTransform(), ("1969-12-31", "2013-01-02")),
        (HourTransform(), ("1969-12-31T23", "2013-01-02T03")),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [DateType(), TimestampType(), TimestamptzType()], ids=str)
def test_a_dimension_may_be_a_period(lake, transform, values, kind):
    if not transform.can_transform(kind):
        pytest.skip("a date has no hours")
    name = lake.create(
        schema_of(at=kind, n=IntegerType()), PartitionSpec(PartitionField(1, 1000, transform, "period"))
    )
    table = lake.look(name, period=f"{transform}(at)")
    begins = {value: f"{value}{'1969-01-01T00:00:00+00:00'[len(value) :]}" for value in values}
    if transform == HourTransform():
        begins = {value: f"{value}:00:00+00:00" for value in values}
    for run in (1, 2):
        pieces = [
            piece
            for value in values[: 3 - run]
            for piece in stage(
                table,
                f"SELECT '{begins[value]}'::TIMESTAMPTZ::{table['columns'][0]['type']} AS at, {run} AS n",
                [{"period": value}],
                run,
                unused=["period"],
            )
        ]
        publish(table, pieces, run_id(run))

    assert lake.rows(name, "n") == [(1,), (2,)]
    assert len(lake.table(name).inspect.partitions()) == 2


def test_nan_is_found_and_hides_nothing(lake):
    name = lake.create(schema_of(k=StringType(), x=DoubleType()))
    table = lake.look(name)
    publish(
        table, stage(table, "SELECT unnest(['NaN'::DOUBLE, 1, 7]) AS x", [{"k": "a"}], unused=["k"]), run_id()
    )

    assert len(lake.rows(name)) == 3
    assert lake.rows(name, "x", row_filter="x = 7") == [(7.0,)]
    assert lake.rows(name, "x", row_filter="x < 2") == [(1.0,)]


def test_required_columns_have_values(lake):
    schema = Schema(
        NestedField(1, "k", StringType(), required=True),
        NestedField(2, "l", ListType(3, LongType(), element_required=True), required=True),
    )
    name = lake.create(schema, PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k")))
    table = lake.look(name)

    publish(table, stage(table, "SELECT [1, 2]::BIGINT[] AS l", [{"k": "a"}], unused=["k"]), run_id())

    assert lake.rows(name, "k", "l") == [("a", [1, 2])]


def test_old_files_are_known_by_ids_when_columns_were_renamed_added_and_dropped(lake):
    name = lake.create(schema_of(k=StringType(), n=LongType(), gone=LongType()))
    table = lake.look(name)
    publish(table, stage(table, "SELECT 1 AS n, 2 AS gone", [{"k": "a"}, {"k": "b"}], unused=["k"]), run_id())
    with lake.table(name).update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("k", "key").delete_column("gone").rename_column("n", "number")
    with lake.table(name).update_schema() as update:
        update.add_column("k", IntegerType())

    table = lake.look(name, k="key")
    publish(table, stage(table, "SELECT 5 AS number, 6 AS k", [{"k": "a"}], 2, unused=["k"]), run_id(2))

    assert lake.rows(name, "key", "number", "k") == [("a", 5, 6), ("b", 1, None)]


def test_partitionings_may_have_changed(lake):
    name = lake.create(schema_of(at=TimestampType(), k=StringType(), n=LongType()))
    sql = "SELECT ($date || ' 05:00')::TIMESTAMP AS at, $n::BIGINT AS n"
    days = [{"date": f"2013-01-0{day}", "k": k} for day in (1, 2, 3) for k in "ab"]

    def load(run, pieces):
        table = lake.look(name, date="day(at)")
        publish(table, stage(table, sql, pieces, run, unused=["k"], parameters={"n": run}), run_id(run))

    load(0, days)
    with lake.table(name).update_spec() as update:
        update.add_field("at", MonthTransform(), "month")
    load(1, days[1:])
    with lake.table(name).update_spec() as update:
        update.remove_field("month").add_field("at", DayTransform(), "day").add_identity("k")
    load(2, days[2:])
    with lake.table(name).update_spec() as update:
        update.remove_field("day")
    load(3, days[3:5])

    assert lake.rows(name, "at", "k", "n") == [
        (datetime(2013, 1, 1, 5), "a", 0),
        (datetime(2013, 1, 1, 5), "b", 1),
        (datetime(2013, 1, 2, 5), "a", 2),
        (datetime(2013, 1, 2, 5), "b", 3),
        (datetime(2013, 1, 3, 5), "a", 3),
        (datetime(2013, 1, 3, 5), "b", 2),
    ]


def test_a_partition_is_known_whatever_statistics_the_table_keeps(lake):
    long = "x" * 20_000
    name = lake.create(
        schema_of(k=StringType(), n=LongType()),
        PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k")),
        properties={"write.metadata.metrics.default": "none"},
    )
    table = lake.look(name)
    for run in (1, 2):
        publish(
            table, stage(table, f"SELECT {run} AS n, $k AS k", [{"k": "a"}, {"k": long}], run), run_id(run)
        )

    assert lake.rows(name, "k", "n") == [("a", 2), (long, 2)]
    assert lake.rows(name, "n", row_filter="k = 'a'") == [(2,)]


def test_a_file_with_rows_of_several_partitions_is_refused(lake):
    name = lake.create(schema_of(k=StringType(), n=LongType()))
    lake.table(name).append(pa.table({"k": ["a", "c"], "n": pa.array([1, 1], pa.int64())}))
    table = lake.look(name)

    publish(table, stage(table, "SELECT 2 AS n", [{"k": "d"}], unused=["k"]), run_id())
    for other in ("a", "b"):
        with pytest.raises(
            TargetError,
            match="the file file://.* may hold rows .* more than one k.* Partition the table",
        ):
            publish(table, stage(table, "SELECT 2 AS n", [{"k": other}], 2, unused=["k"]), run_id(2))

    assert lake.rows(name, "k", "n") == [("a", 1), ("c", 1), ("d", 2)]


@pytest.mark.parametrize(
    ("kind", "transform", "said"),
    [
        (
            FixedType(16),
            IdentityTransform(),
            r"the column 'k' .* of the type fixed\[16\], and DuckDB writes no",
        ),
        (DoubleType(), IdentityTransform(), "partitioned by k, a double, and pyiceberg reads"),
        (StringType(), BucketTransform(4), r"partitioned by bucket\[4\]\(k\), and rows of one partition"),
    ],
    ids=["fixed", "double", "bucket"],
)
def test_what_the_kit_cannot_fill_is_refused_when_it_is_looked_up(lake, kind, transform, said):
    name = lake.create(schema_of(k=kind), PartitionSpec(PartitionField(1, 1000, transform, "part")))

    with pytest.raises(TargetError, match=said):
        lake.look(name)


def test_a_table_that_is_partitioned_by_more_than_the_plan_takes_a_file_that_lies_in_one_part(lake):
    name = lake.create(
        schema_of(k=StringType(), n=LongType(), word=StringType()),
        PartitionSpec(
            PartitionField(1, 1000, IdentityTransform(), "k"),
            PartitionField(3, 1001, TruncateTransform(2), "begin"),
        ),
    )
    table = lake.look(name)
    publish(
        table,
        stage(table, "SELECT 1 AS n, unnest(['abc', 'abd']) AS word", [{"k": "a"}], unused=["k"]),
        run_id(),
    )

    for words, said in (("'abc', 'axd'", "more than one"), ("'abc', NULL", "ab and NULL")):
        pieces = stage(table, f"SELECT 1 AS n, unnest([{words}]) AS word", [{"k": "a"}], 2, unused=["k"])
        with pytest.raises(
            TargetError, match=rf"partition k=a: .* by truncate\[2\]\(word\), too: they have {said}"
        ):
            publish(table, pieces, run_id(2))

    assert lake.rows(name, "word") == [("abc",), ("abd",)]
