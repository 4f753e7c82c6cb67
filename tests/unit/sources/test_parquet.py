"""Rows of Parquet files: what becomes of each type, and what none becomes of."""

from __future__ import annotations

import datetime
import io
import uuid
from decimal import Decimal

import pytest

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

from airflow_mapping_kit.exceptions import SourceError  # noqa: E402
from airflow_mapping_kit.sources.rows import Files  # noqa: E402


@pytest.fixture
def rows(tmp_path):
    """Return a function that writes columns into a file and reads its rows."""

    def of(columns, how=None, **kwargs):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", **kwargs)
        return list(Files(str(tmp_path / "a.parquet"), **how or {}).rows())

    return of


UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2024, 1, 31, 6, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_", "values", "become"),
    [
        (pa.string(), ["é", "", None], ["é", "", None]),
        (pa.large_string(), ["x"], ["x"]),
        (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"], ["a", None, "a"]),
        (pa.int64(), [2**63 - 1, None], [2**63 - 1, None]),
        (pa.uint64(), [2**64 - 1], [2**64 - 1]),
        (pa.bool_(), [True, None], [True, None]),
        (pa.float64(), [0.1, None, -0.0], [0.1, None, -0.0]),
        (pa.float64(), [None], [None]),
        (pa.null(), [None], [None]),
        (pa.decimal128(10, 2), [Decimal("1.10"), None], ["1.10", None]),
        (pa.date32(), [datetime.date(2024, 1, 31), None], ["2024-01-31", None]),
        (pa.timestamp("ms"), [datetime.datetime(2024, 1, 31, 6)], ["2024-01-31T06:00:00"]),
        (pa.timestamp("us", "UTC"), [MOMENT], ["2024-01-31T06:00:00.000005+00:00"]),
        (pa.timestamp("us", "Europe/Paris"), [MOMENT], ["2024-01-31T07:00:00.000005+01:00"]),
        (pa.timestamp("ns"), [0, 10**9 + 1, None], [
            "1970-01-01T00:00:00", "1970-01-01T00:00:01.000000001", None
        ]),
        (pa.timestamp("ns", "UTC"), [-1], ["1969-12-31T23:59:59.999999999+00:00"]),
        (pa.time64("us"), [datetime.time(6, 30), None], ["06:30:00", None]),
        (pa.duration("ms"), [datetime.timedelta(seconds=1.5), None], [1.5, None]),
        (pa.list_(pa.date32()), [[datetime.date(2024, 1, 31), None], None, []], [["2024-01-31", None], None, []]),
        (pa.struct({"a": pa.decimal128(3, 1), "b": pa.list_(pa.int8())}), [
            {"a": Decimal("1.5"), "b": [1]}, None, {"a": None, "b": None}
        ], [{"a": "1.5", "b": [1]}, None, {"a": None, "b": None}]),
        (pa.map_(pa.string(), pa.date32()), [[("x", datetime.date(2024, 1, 31))], None], [
            {"x": "2024-01-31"}, None
        ]),
        (pa.map_(pa.int64(), pa.string()), [[(1, "x"), (2, None)]], [[[1, "x"], [2, None]]]),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_becomes_plain_json(rows, type_, values, become):
    assert rows({"x": pa.array(values, type_)}) == [{"x": value} for value in become]


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="this pyarrow has no UUIDs")
def test_a_uuid_becomes_text(rows):
    number = uuid.uuid4()
    assert rows({"x": pa.array([number.bytes, None], pa.uuid())}) == [{"x": str(number)}, {"x": None}]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([b"x"]), "a.parquet: the column 'x' is of the type binary, which JSON doesn't have"),
        (pa.array([{"y": [b"x"]}]), "the column 'x' is of the type binary"),
        (pa.array([*[1.0] * 1500, float("nan")]), "row 1,501: the column 'x' contains NaN or infinity"),
        (pa.array([[1.0], [float("inf")]]), "row 2: the column 'x' contains NaN"),
        (pa.array(["a", "b\0"]), "row 2: the column 'x' contains the character NUL"),
        (
            pa.array([0, 10**17], pa.timestamp("ms")),
            r"row 2: the column 'x' contains a value that can't be read as timestamp",
        ),
    ],
    ids=str,
)
def test_a_value_that_is_no_json_is_named_by_column_and_row(rows, column, said):
    with pytest.raises(SourceError, match=said):
        rows({"id": list(range(len(column))), "x": column})
    assert rows({"id": [7] * len(column), "x": column}, {"columns": ["id"]}) == [{"id": 7}] * len(column)


def test_columns_are_chosen_also_where_names_hold_dots(rows):
    columns = {"a": [{"b": 1}], "a.b": [2], "c": [3]}
    assert rows(columns, {"columns": ["a.b"]}) == [{"a.b": 2}]
    assert rows(columns, {"columns": ["c", "a"]}) == [{"c": 3, "a": {"b": 1}}]
    with pytest.raises(SourceError, match="has no column 'b'"):
        rows(columns, {"columns": ["b"]})


def test_rows_come_in_their_order_from_all_row_groups(rows):
    numbers = list(range(5_000))
    assert [row["n"] for row in rows({"n": numbers}, row_group_size=700)] == numbers


def test_a_file_of_no_rows_has_none(rows):
    assert rows({"n": pa.array([], pa.int64())}) == []


@pytest.mark.parametrize("broken", ["empty", "text", "cut off", "overwritten"])
def test_what_is_no_parquet_file_is_named(tmp_path, broken):
    whole = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(9_000))}), whole, compression="none", use_dictionary=False)
    content = {
        "empty": b"",
        "text": b"n\n1\n" * 9,
        "cut off": whole.getvalue()[:-20],
        "overwritten": whole.getvalue()[:10] + b"\xff" * 90 + whole.getvalue()[100:],
    }[broken]
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"a.parquet can't be read as Parquet, after row 0"):
        list(Files(str(tmp_path / "a.parquet")).rows())
