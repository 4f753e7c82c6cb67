"""Rows of a query in a file of a table: columns by name, of its types, nothing lost, none of other partitions."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal

import pytest

from airflow_mapping_kit.exceptions import PartitionError, QueryError, TargetError
from airflow_mapping_kit.operators.duckdb.query import PartitionQuery
from airflow_mapping_kit.tables.database import connected

MOMENT = "TIMESTAMPTZ '2013-01-01 23:30:00-05'"  # in UTC 2013-01-02 04:30


@pytest.fixture(params=["UTC", "America/New_York"])
def timezone(request):
    return request.param


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with connected("100MiB", 1, tmp_path_factory.mktemp("scratch")) as connection:
        yield connection


@pytest.fixture
def written(connection, tmp_path):
    """Return a function that writes rows for a partition of a table, and gives what the file holds."""

    def write(sql, partition, *columns, dimensions=None, timezone="UTC"):
        table = {
            "mapping_kit_table": "iceberg",
            "name": "lake.flights",
            "location": str(tmp_path),
            "columns": [{"required": False, **column} for column in columns],
            "dimensions": {
                name: {"column": column, "transform": transform}
                for name, (column, transform) in (dimensions or {}).items()
            },
        }
        connection.execute(f"SET TimeZone = '{timezone}'")
        query = PartitionQuery(connection, sql, unused=list(partition), table=table)
        path = tmp_path / "staged.parquet"
        query.write(query.select("k", partition), path)
        stored = connection.execute("FROM read_parquet($path)", {"path": str(path)})
        names = [column[0] for column in stored.description]
        kinds = [str(column[1]) for column in stored.description]
        rows = stored.fetchall()
        ids = connection.execute(
            "SELECT name, field_id FROM parquet_schema($path) WHERE field_id IS NOT NULL",
            {"path": str(path)},
        ).fetchall()
        return names, kinds, rows, ids

    return write


def column(name, kind, **more):
    return {"name": name, "type": kind, **more}


def test_columns_go_by_name_whatever_their_order_and_case_and_have_the_tables_numbers(written):
    names, kinds, rows, ids = written(
        "SELECT {'b': 2, 'a': 1::SMALLINT} AS NESTED, 3::SMALLINT AS n",
        {"o": "EWR"},
        column("N", "BIGINT", id=7),
        column("absent", "DATE", id=8),
        column("o", "VARCHAR", id=9),
        column("nested", "STRUCT(b INTEGER, a INTEGER)", id={"__duckdb_field_id": 10, "b": 11, "a": 12}),
    )
    assert names == ["N", "o", "nested"]
    assert rows == [(3, "EWR", {"b": 2, "a": 1})]
    assert ids == [("N", 7), ("o", 9), ("nested", 10), ("b", 11), ("a", 12)]
    assert kinds[0] == "BIGINT"


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ("1::SMALLINT", "BIGINT", 1),
        ("DATE '2013-01-02'", "TIMESTAMP", datetime(2013, 1, 2)),
        ("1.5::DECIMAL(3, 1)", "DECIMAL(10, 2)", Decimal("1.50")),
        ("1.50::DECIMAL(10, 2)", "DECIMAL(3, 1)", Decimal("1.5")),
        ("9007199254740992", "DOUBLE", 9007199254740992.0),
        ("[1::SMALLINT]", "BIGINT[]", [1]),
        ("'a'::ENUM('a', 'b')", "VARCHAR", "a"),
        ("NULL::INTEGER", "BIGINT", None),
        ("'nan'::FLOAT", "DOUBLE", "nan"),
    ],
)
def test_a_type_that_keeps_every_value_is_taken(written, given, kind, value):
    _, _, rows, _ = written(f"SELECT {given} AS x", {"o": "EWR"}, column("x", kind), column("o", "VARCHAR"))
    assert rows == [(value, "EWR")] or str(rows[0][0]) == value


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (
            "1::BIGINT",
            "INTEGER",
            'x\' is BIGINT in the query and INTEGER in the table lake.flights: write CAST("x" AS',
        ),
        (
            "1",
            "VARCHAR",
            'is INTEGER in the query and VARCHAR in the table lake.flights: write CAST("x" AS VARCHAR)',
        ),
        ("'1'", "INTEGER", "is VARCHAR in the query and INTEGER"),
        ("sum(1)", "BIGINT", "is HUGEINT in the query and BIGINT"),
        ("1.5::DOUBLE", "DECIMAL(10,2)", "is DOUBLE in the query and DECIMAL(10,2)"),
        (
            "TIMESTAMP '2013-01-01'",
            "TIMESTAMP WITH TIME ZONE",
            "write \"x\" AT TIME ZONE 'UTC' if that is meant",
        ),
        ("[TIMESTAMP '2013-01-01']", "TIMESTAMPTZ[]", "AT TIME ZONE 'UTC', of each moment that is nested"),
        (
            "{'a': TIMESTAMP '2013-01-01', 'b': TIMESTAMPTZ '2013-01-01'}",
            "STRUCT(a TIMESTAMPTZ, b TIMESTAMP)",
            "AT TIME ZONE 'UTC', of each moment that is nested",
        ),
        ("DATE '2013-01-01'", "TIMESTAMPTZ", "write \"x\" AT TIME ZONE 'UTC' if that is meant"),
        (
            "1.255::DECIMAL(10, 3)",
            "DECIMAL(10,2)",
            "a row with x=1.255, which the table's DECIMAL(10,2) would change",
        ),
        (
            "9007199254740993",
            "DOUBLE",
            'x=9007199254740993, which the table\'s DOUBLE would change: write CAST("x"',
        ),
        ("TIMESTAMP_NS '2013-01-01 00:00:00.000000001'", "TIMESTAMP", "the table's TIMESTAMP would change"),
        ("300", "TINYINT", "is INTEGER in the query and TINYINT"),
        ("{'a': 1, 'b': 2}", "STRUCT(a INTEGER)", "is STRUCT(a INTEGER, b INTEGER) in the query"),
    ],
)
def test_a_type_that_does_not_is_refused_with_the_cast_to_write(written, given, kind, said):
    with pytest.raises(QueryError, match=re.escape(said)):
        written(f"SELECT {given} AS x", {"o": "EWR"}, column("x", kind), column("o", "VARCHAR"))


def test_a_column_that_the_table_lacks_is_named_with_those_like_it(written):
    with pytest.raises(QueryError, match=r"no column 'flihgt' \(near: 'flight'\): leave it out"):
        written("SELECT 1 AS flihgt", {"o": "EWR"}, column("flight", "INTEGER"), column("o", "VARCHAR"))


def test_a_required_column_has_to_be_selected_and_have_values(written):
    columns = column("x", "INTEGER", required=True), column("o", "VARCHAR")
    with pytest.raises(
        QueryError, match="doesn't select the column 'x' of the table lake.flights, and it has to have"
    ):
        written("SELECT 'EWR' AS o", {"o": "EWR"}, *columns)
    with pytest.raises(QueryError, match="a row with x=NULL, and the table requires a value"):
        written("SELECT NULL::INTEGER AS x", {"o": "EWR"}, *columns)


class TestDimensions:
    @pytest.mark.parametrize(
        ("kind", "value", "row"),
        [
            ("VARCHAR", "EWR", "EWR"),
            ("VARCHAR", None, None),
            ("VARCHAR", "NULL", "NULL"),
            ("VARCHAR", "", ""),
            ("INTEGER", 7, 7),
            ("INTEGER", "7", 7),
            ("BOOLEAN", True, True),
            ("DATE", "2013-01-02", date(2013, 1, 2)),
            ("DATE", None, None),
            ("DECIMAL(5,2)", 1.5, Decimal("1.50")),
        ],
    )
    @pytest.mark.parametrize("selected", [True, False])
    def test_one_of_a_column_may_be_selected_or_not(self, written, kind, value, row, selected):
        shown = "NULL" if value is None else f"'{value}'"
        also = f", {shown}::{kind} AS d" if selected else ""
        _, _, rows, _ = written(
            f"SELECT 1 AS x{also}", {"d": value}, column("x", "INTEGER"), column("d", kind)
        )
        assert rows == [(1, row)]

    @pytest.mark.parametrize(
        ("kind", "value", "other"),
        [
            ("VARCHAR", "EWR", "'JFK'"),
            ("VARCHAR", "EWR", "NULL"),
            ("VARCHAR", None, "'NULL'"),
            ("VARCHAR", "NULL", "NULL"),
            ("INTEGER", 7, "8"),
            ("DATE", "2013-01-02", "'2013-01-03'"),
            ("DATE", None, "'2013-01-03'"),
        ],
    )
    def test_a_row_of_another_partition_is_refused(self, written, kind, value, other):
        with pytest.raises(
            QueryError, match="partition k: the query returned a row with d=.*, which belongs to another"
        ):
            written(
                f"SELECT 1 AS x, {other}::{kind} AS d",
                {"d": value},
                column("x", "INTEGER"),
                column("d", kind),
            )

    @pytest.mark.parametrize(
        ("kind", "value", "said"),
        [
            (
                "INTEGER",
                "abc",
                "'abc' can't be a value of the dimension 'd': its column is of type INTEGER",
            ),
            ("DATE", "2013-02-30", "'2013-02-30' can't be a value"),
            ("TINYINT", 300, "300 can't be a value"),
            (
                "INTEGER",
                "07",
                "'07' would be 7 in the column of the dimension 'd', of type INTEGER: give it as that",
            ),
            ("INTEGER", 1.5, "1.5 would be 2 in the column"),
            ("DATE", "2013-01-02T05", "would be 2013-01-02|can't be a value"),
        ],
    )
    def test_a_value_that_its_column_would_change_is_refused(self, written, kind, value, said):
        with pytest.raises(PartitionError, match=said):
            written("SELECT 1 AS x", {"d": value}, column("x", "INTEGER"), column("d", kind))

    def test_one_of_a_required_column_is_not_none(self, written):
        with pytest.raises(
            PartitionError, match="'d' is None, and its column 'd' of the table lake.flights requires"
        ):
            written("SELECT 1 AS x", {"d": None}, column("x", "INTEGER"), column("d", "DATE", required=True))

    @pytest.mark.parametrize(
        ("transform", "value"),
        [
            ("day", "2013-01-02"),
            ("hour", "2013-01-02T04"),
            ("hour", "2013-01-01T23-0500"),
            ("month", "2013-01"),
            ("month", "2013-01-01"),
            ("year", "2013"),
        ],
    )
    def test_a_period_is_one_of_the_clock_of_utc_whatever_that_of_the_query_is(
        self, written, timezone, transform, value
    ):
        arguments = {"dimensions": {"d": ("at", transform)}, "timezone": timezone}
        columns = column("at", "TIMESTAMP WITH TIME ZONE"), column("x", "INTEGER")
        _, _, rows, _ = written(f"SELECT {MOMENT} AS at, 1 AS x", {"d": value}, *columns, **arguments)
        assert len(rows) == 1
        for other in ("'2012-12-31 23:59:59Z'", "'2014-01-01 00:00:00Z'", "NULL"):
            with pytest.raises(QueryError, match="belongs to another partition"):
                written(f"SELECT {other}::TIMESTAMPTZ AS at, 1 AS x", {"d": value}, *columns, **arguments)

    @pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP"])
    def test_a_month_may_be_that_of_a_date(self, written, kind):
        arguments = {"dimensions": {"d": ("at", "month")}}
        _, _, rows, _ = written(
            f"SELECT '2013-02-28'::{kind} AS at", {"d": "2013-02"}, column("at", kind), **arguments
        )
        assert len(rows) == 1
        with pytest.raises(QueryError, match="belongs to another partition"):
            written(f"SELECT '2013-03-01'::{kind} AS at", {"d": "2013-02"}, column("at", kind), **arguments)

    @pytest.mark.parametrize(
        ("kind", "transform", "value", "said"),
        [
            (
                "TIMESTAMP",
                "day",
                "2013-01",
                "'d': '2013-01' is no day as the table counts them, by the clock of UTC",
            ),
            ("TIMESTAMP", "day", "2013-W01", "is no day"),
            ("TIMESTAMP", "month", "2013-01-02", "is no month"),
            ("TIMESTAMP", "year", 2013, "2013 is no year"),
            ("TIMESTAMP", "hour", "2013-01-01T05+0530", "is no hour"),
            ("VARCHAR", "day", "2013-01-01", "is the day of a column of type VARCHAR"),
            ("DATE", "hour", "2013-01-01T05", "is the hour of a column of type DATE"),
        ],
    )
    def test_what_is_none_of_the_tables_periods_is_refused(self, written, kind, transform, value, said):
        with pytest.raises((PartitionError, QueryError), match=said):
            written(
                f"SELECT NULL::{kind} AS at",
                {"d": value},
                column("at", kind),
                dimensions={"d": ("at", transform)},
            )

    def test_two_may_live_in_one_column(self, written):
        homes = {"day": ("at", "day"), "hour": ("at", "hour")}
        partition = {"day": "2013-01-02", "hour": "2013-01-02T04"}

        def of(moment):
            sql = f"SELECT TIMESTAMP '{moment}' AS at"
            return written(sql, partition, column("at", "TIMESTAMP"), dimensions=homes)

        assert len(of("2013-01-02 04:59")[2]) == 1
        with pytest.raises(QueryError, match="belongs to another partition"):
            of("2013-01-02 05:00")

    def test_one_without_a_column_is_named_with_the_columns_that_there_are(self, written):
        with pytest.raises(
            TargetError, match=r"'orign' has no column 'orign' in the table lake.flights \(near: 'origin'\)"
        ):
            written("SELECT 1 AS x", {"orign": "EWR"}, column("x", "INTEGER"), column("origin", "VARCHAR"))

    def test_one_of_a_moment_has_to_be_selected(self, written):
        with pytest.raises(
            QueryError, match="doesn't select the column 'at' .*, and a dimension lives in it"
        ):
            written(
                "SELECT 1 AS x",
                {"d": "2013-01-01"},
                column("at", "TIMESTAMP"),
                column("x", "INTEGER"),
                dimensions={"d": ("at", "day")},
            )
