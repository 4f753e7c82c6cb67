from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb.query import PartitionQuery
from airflow_mapping_kit.tables.database import connected
from airflows import AirflowException

KEY = "date=2013-01-02/origin=EWR"
PARTITION = {"origin": "EWR", "date": "2013-01-02"}


@pytest.fixture
def connection(tmp_path):
    with connected("100MiB", 1, tmp_path) as connected_to:
        connected_to.execute(
            "CREATE TABLE flights AS SELECT ['EWR', 'JFK'][1 + i % 2] AS origin, "
            "DATE '2013-01-01' + (i % 3)::INTEGER AS date, i AS flight FROM range(60) r(i)"
        )
        yield connected_to


@pytest.fixture
def written(connection, tmp_path):
    """Return a function that writes a query's rows for a partition and returns what the file holds."""

    def write(sql, partition=None, key=KEY, **arguments):
        partition = PARTITION if partition is None else partition
        query = PartitionQuery(connection, sql, **arguments)
        path = tmp_path / "it's.tmp"
        path.touch()
        (file,) = query.write(query.select(key, partition), path)
        stored = connection.execute("FROM read_parquet($path)", {"path": str(path)})
        names, values = [column[0] for column in stored.description], stored.fetchall()
        assert file == (path.name, len(values), path.stat().st_size)
        return names, values

    return write


class TestText:
    @pytest.mark.parametrize(
        ("sql", "found"),
        [
            ("", "nothing"),
            ("-- only this", "nothing"),
            ("SELECT 1; SELECT 2", "SELECT, SELECT"),
            ("DROP TABLE flights", "DROP"),
            ("COPY flights TO 'x'", "COPY"),
            ("SELECT 1; DROP TABLE flights", "SELECT, DROP"),
        ],
    )
    def test_anything_but_one_select_is_refused(self, connection, sql, found):
        with pytest.raises(QueryError, match=f"exactly one SELECT, not {found}: "):
            PartitionQuery(connection, sql)

    def test_a_syntax_error_is_duckdbs_own_message(self, connection):
        with pytest.raises(
            QueryError, match='DuckDB can\'t read the query: Parser Error: syntax error at or near "SELEC"'
        ):
            PartitionQuery(connection, "SELEC 1")

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT 'é;' AS x WHERE $a = 1 ; -- the end; é",
            "SELECT 'é;' AS x WHERE $a = 1;;",
            "SELECT 'é;' AS x WHERE $a = 1 -- no end",
            "FROM (SELECT 'é;' AS x) WHERE $a = 1 /* ; */",
            "WITH q AS (SELECT 'é;' AS x) SELECT * FROM q WHERE $a = 1",
        ],
    )
    def test_semicolons_and_comments_may_follow(self, written, sql):
        assert written(sql, {"a": 1}) == (["x"], [("é;",)])


class TestParameters:
    def test_each_dimension_is_bound(self, written):
        names, rows = written("SELECT flight FROM flights WHERE origin = $origin AND date = $date::DATE")
        assert names == ["flight"]
        assert sorted(rows) == [(4,), (10,), (16,), (22,), (28,), (34,), (40,), (46,), (52,), (58,)]

    def test_names_do_not_tell_case(self, written):
        _, rows = written("SELECT flight FROM flights WHERE origin = $ORIGIN AND date = $Date::DATE")
        assert len(rows) == 10

    def test_a_parameter_in_a_text_or_a_comment_is_none(self, written):
        sql = "SELECT '$x' AS b /* $y */ WHERE $a = 1 -- $z"
        assert written(sql, {"a": 1}) == (["b"], [("$x",)])

    def test_a_parameter_that_the_partition_lacks_is_named(self, connection):
        query = PartitionQuery(connection, "SELECT 1 AS x WHERE $orign = $date")
        with pytest.raises(
            QueryError,
            match=rf"partition {KEY}: the query asks for \$orign, which is none of .* \(date, origin\): use one",
        ):
            query.bind(KEY, PARTITION)

    def test_a_dimension_that_the_query_forgets_is_named(self, connection):
        query = PartitionQuery(connection, "SELECT flight FROM flights WHERE date = $date::DATE")
        with pytest.raises(
            QueryError,
            match=r"doesn't use the dimension 'origin'.*use \$origin in WHERE, or .* unused=\['origin'\]",
        ):
            query.bind(KEY, PARTITION)

    def test_a_dimension_listed_as_unused_may_be_forgotten(self, written):
        _, rows = written("SELECT flight FROM flights WHERE date = $date::DATE", unused=["origin"])
        assert len(rows) == 20

    def test_shared_parameters_are_bound_beside_the_dimensions(self, written):
        _, rows = written(
            "SELECT flight FROM flights WHERE origin = $origin AND date = $date::DATE AND flight < $most",
            shared={"most": 20},
        )
        assert sorted(rows) == [(4,), (10,), (16,)]

    def test_a_shared_parameter_named_like_a_dimension_is_refused(self, connection):
        query = PartitionQuery(connection, "SELECT $date AS x, $origin AS y", shared={"Date": "2013"})
        with pytest.raises(
            QueryError, match=r"'date' is there twice, case apart, .* parameters \(Date\): rename one"
        ):
            query.bind(KEY, {"date": "1", "origin": "x"})

    def test_dimensions_that_differ_only_in_case_are_refused(self, connection):
        with pytest.raises(QueryError, match="'a' is there twice, case apart"):
            PartitionQuery(connection, "SELECT $a AS x").bind("A=1/a=2", {"A": 1, "a": 2})

    @pytest.mark.parametrize(
        "value",
        ["it's", '"', "'; DROP TABLE flights; --", "{{ 1 }}", "a\nb", "é😀", "$date", "%", 1, 1.5, True],
    )
    def test_a_value_is_only_ever_a_value(self, written, connection, value):
        assert written("SELECT $v AS x", {"v": value}) == (["x"], [(value,)])
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (60,)

    @pytest.mark.parametrize(
        "value",
        [
            "'a'",
            "1",
            "1::HUGEINT",
            "1.5::DOUBLE",
            "1.5::DECIMAL(10, 2)",
            "DATE '2024-01-01'",
            "TIMESTAMPTZ '2024-01-01 00:00:00+00'",
            "TIME '12:00:00'",
            "true",
            "uuid()",
            "'a'::BLOB",
            "'a'::ENUM('a', 'b')",
            "[1]",
            "['a']",
            "{'a': 1}",
            "MAP {'a': 1}",
        ],
    )
    def test_none_is_a_null_of_whatever_type_it_is_compared_with(self, written, value):
        sql = (
            f"SELECT n FROM (VALUES (1, {value}), (2, NULL)) t(n, c) "
            "WHERE c IS NOT DISTINCT FROM $v AND coalesce($v, c) IS NULL AND (c = $v) IS NULL"
        )
        assert written(sql, {"v": None}) == (["n"], [(2,)])
        assert written(sql.replace("$v", "$w"), {"v": 1}, shared={"w": None}, unused=["v"]) == (["n"], [(2,)])

    @pytest.mark.parametrize(
        "condition",
        [
            "year($date) = 2013",
            "date > $date - INTERVAL 1 DAY",
            "date_trunc('month', $date) = date",
        ],
    )
    def test_where_a_cast_is_missing_the_error_shows_it(self, connection, condition):
        query = PartitionQuery(
            connection, f"SELECT flight FROM flights WHERE origin = $origin AND {condition}"
        )
        with pytest.raises(
            QueryError, match=r"(?s)partition date=.*Error.*write \$date::DATE where the query wants a date"
        ):
            query.select(KEY, PARTITION)

    def test_a_text_that_is_no_number_is_hinted_too(self, connection, tmp_path):
        query = PartitionQuery(connection, "SELECT date FROM flights WHERE flight = $origin")
        with pytest.raises(
            QueryError, match=r"(?s)Could not convert string 'EWR'.*as in column::VARCHAR = \$origin"
        ):
            query.write(query.select("origin=EWR", {"origin": "EWR"}), tmp_path / "x")


class TestDimensionsInTheResult:
    def test_they_are_left_out_whatever_their_case(self, written):
        names, rows = written(
            'SELECT date AS "Date", flight, origin FROM flights WHERE origin = $origin AND date = $date::DATE'
        )
        assert names == ["flight"]
        assert len(rows) == 10

    def test_strange_names_are_quoted(self, written):
        names, rows = written('SELECT $"a ""b"" é" AS "a ""b"" é", 1 AS "it\'s ""x"""', {'a "b" é': "v'"})
        assert (names, rows) == (['it\'s "x"'], [(1,)])

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("1::BIGINT", 1),
            ("1::BIGINT", "01"),
            ("'1'", 1),
            ("TIMESTAMP '2013-01-01'", "2013-01-01"),
            ("true", True),
            ("'true'", True),
            ("NULL", None),
        ],
    )
    def test_a_value_counts_in_the_columns_type(self, written, column, value):
        assert written(f"SELECT 1 AS x, {column} AS d WHERE $d IS NOT DISTINCT FROM $d", {"d": value}) == (
            ["x"],
            [(1,)],
        )

    @pytest.mark.parametrize(
        ("column", "value", "offending"),
        [
            ("'JFK'", "EWR", "d=JFK"),
            ("NULL::VARCHAR", "EWR", "d=NULL"),
            ("'EWR'", None, "d=EWR"),
            ("TIMESTAMP '2013-01-01 05:00'", "2013-01-01", "d=2013-01-01 05:00:00"),
            ("DATE '2013-01-05'", "2013-01", "d=2013-01-05"),
            ("NULL::DATE", "no date", "d=NULL"),
        ],
    )
    def test_a_row_of_another_partition_is_refused(self, written, column, value, offending):
        with pytest.raises(
            QueryError,
            match=f"partition k: the query returned a row with {offending}, which belongs to another",
        ):
            written(f"SELECT 1 AS x, {column} AS d WHERE $d IS NOT DISTINCT FROM $d", {"d": value}, key="k")

    def test_a_row_of_another_partition_shows_nothing_that_airflow_hides(self, written):
        with pytest.raises(QueryError, match="the query returned a row with token=\\*\\*\\*, which"):
            written("SELECT 1 AS x, 'hunter2' AS token WHERE $token <> ''", {"token": "a"}, key="k")

    def test_a_row_that_the_query_itself_drops_is_no_row_of_another_partition(self, written):
        sql = (
            "SELECT * FROM flights WHERE flight < 50 AND origin = $origin AND date = $date::DATE "
            "ORDER BY flight DESC LIMIT 3"
        )
        assert written(sql) == (["flight"], [(46,), (40,), (34,)])

    def test_a_result_of_nothing_but_dimensions_is_refused(self, connection):
        query = PartitionQuery(
            connection, "SELECT DISTINCT date, origin FROM flights WHERE origin = $origin AND date = $date"
        )
        with pytest.raises(
            QueryError,
            match=r"returns only dimensions \(date, origin\), which live in the path.*select at least",
        ):
            query.select(KEY, PARTITION)


class TestColumns:
    """What Parquet has no type for."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("(SELECT sum(n) FROM (VALUES (9007199254740993), (2)) t(n))", Decimal(9007199254740995)),
            ("-99999999999999999999999999999999999999::HUGEINT", Decimal(-(10**38) + 1)),
            ("18446744073709551616::UHUGEINT", Decimal(2**64)),
            ("NULL::HUGEINT", None),
            ("[9007199254740993::HUGEINT, NULL]", [Decimal(9007199254740993), None]),
            ("[[1::UHUGEINT]]::UHUGEINT[][1]", [[Decimal(1)]]),
            (
                """{'HUGEINT': 1::HUGEINT, 'a "b"': [2::HUGEINT], 'c': 'HUGEINT'}""",
                {"HUGEINT": Decimal(1), 'a "b"': [Decimal(2)], "c": "HUGEINT"},
            ),
            ("MAP {1::HUGEINT: 2::UHUGEINT}", {Decimal(1): Decimal(2)}),
            ("'HUGEINT'::ENUM('HUGEINT', 'it''s, HUGEINT')", "HUGEINT"),
        ],
    )
    def test_a_wide_integer_keeps_its_digits(self, written, column, value):
        assert written(f"SELECT {column} AS x WHERE $a = 1", {"a": 1}) == (["x"], [(value,)])

    def test_a_wide_integer_may_be_the_column_that_dimensions_are_compared_in(self, written):
        sql = "SELECT $a AS a, sum(n) AS x, 1 AS y FROM (VALUES (9007199254740993), (2)) t(n)"
        assert written(sql, {"a": 1}) == (["x", "y"], [(Decimal(9007199254740995), 1)])
        with pytest.raises(QueryError, match="partition k: the query returned a row with a=2"):
            written(sql.replace("$a AS", "$a + 1 AS"), {"a": 1}, key="k")

    @pytest.mark.parametrize(
        ("column", "shown"),
        [
            ("100000000000000000000000000000000000000::HUGEINT", "1" + "0" * 38),
            ("340282366920938463463374607431768211455::UHUGEINT", str(2**128 - 1)),
            ("[1, -100000000000000000000000000000000000000::HUGEINT, NULL]", r"\[1, -10{38}, NULL\]"),
            ("{'a': [100000000000000000000000000000000000000::HUGEINT]}", r"\{'a': \[10{38}\]\}"),
            ("MAP {100000000000000000000000000000000000000::HUGEINT: 1}", r"\{10{38}=1\}"),
        ],
    )
    def test_a_wide_integer_that_does_not_fit_is_named(self, written, column, shown):
        with pytest.raises(
            QueryError,
            match=rf"partition k: the column \"it's\" has the value {shown}, and .* keeps 38 digits .*select CAST\(",
        ):
            written(f"""SELECT 1 AS x, {column} AS "it's" WHERE $a = 1""", {"a": 1}, key="k")

    @pytest.mark.parametrize(
        ("column", "remedy"),
        [
            ("INTERVAL '1 day 3 microseconds'", r'select epoch_us\("took"\)'),
            ("[{'a': INTERVAL '2000 hours'}]", r'select epoch_us\("took"\)'),
            ("union_value(n := 1)", r'select CAST\("took" AS VARCHAR\), or a column for each'),
            ("'12:00:00+02'::TIMETZ", r'select CAST\("took" AS VARCHAR\)'),
        ],
    )
    def test_a_type_that_parquet_changes_is_refused_with_what_to_select(self, connection, column, remedy):
        query = PartitionQuery(connection, f'SELECT {column} AS took, 1 AS "INTERVAL" WHERE $a = 1')
        with pytest.raises(
            QueryError,
            match=f"partition k: the column 'took' is of type .*keeps (only|no|a struct) .*{remedy}",
        ):
            query.select("k", {"a": 1})

    def test_such_a_type_may_be_a_dimension_or_a_name(self, written):
        sql = "SELECT INTERVAL 1 DAY AS a, {'INTERVAL': 1} AS \"TIME WITH TIME ZONE\" WHERE $a <> ''"
        assert written(sql, {"a": "1 day"}) == (["TIME WITH TIME ZONE"], [({"INTERVAL": 1},)])


class TestPaths:
    @pytest.fixture
    def raw(self, tmp_path):
        for name in ("acme", "globex"):
            (tmp_path / f"{name}.csv").write_text(f"who\n{name}\n")
        return str(tmp_path)

    @pytest.mark.parametrize("value", ["*", "a?me", "[a-z]cme", "..", "../globex", "x/../globex"])
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT who FROM read_csv($raw || '/' || $who || '.csv')",
            "SELECT * FROM (SELECT 1) t JOIN READ_CSV([format('{}/{}.csv', $raw, $WHO)], header = true) ON true",
            "WITH files AS (FROM glob($raw || '/' || $who)) SELECT 1 AS n FROM files",
        ],
    )
    def test_a_dimension_that_could_stand_for_other_files_is_refused(self, connection, raw, sql, value):
        query = PartitionQuery(connection, sql, {"raw": raw})
        with pytest.raises(
            QueryError,
            match=r"partition k: \$who is part of a path .*parse_filename\(filename, true\) = \$who",
        ):
            query.bind("k", {"who": value})

    def test_what_names_one_file_is_read_and_parameters_may_be_globs(self, written, raw):
        sql = "SELECT who AS x FROM read_csv($raw || '/' || $who || '.csv')"
        assert written(sql, {"who": "acme"}, shared={"raw": raw}) == (["x"], [("acme",)])
        sql = "SELECT who AS x FROM read_csv($raw) WHERE who = $who"
        assert written(sql, {"who": "globex"}, shared={"raw": f"{raw}/*.csv"}) == (["x"], [("globex",)])

    def test_the_query_that_the_error_proposes_opens_only_the_file_that_is_wanted(
        self, written, connection, raw
    ):
        connection.execute(f"COPY (SELECT 'b*' AS n) TO '{raw}/b*.parquet'")
        (Path(raw) / "z.parquet").write_text("no Parquet")
        sql = (
            "SELECT n FROM read_parquet($raw || '/*.parquet', filename = true) "
            "WHERE parse_filename(filename, true) = $who"
        )
        assert written(sql, {"who": "b*"}, shared={"raw": raw}) == (["n"], [("b*",)])

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM (SELECT 1 AS n) WHERE $who <> ''",
            "SELECT unnest AS n FROM unnest(string_split($who, '*'))",
            "SELECT who AS n FROM read_csv($raw || '/acme.csv', nullstr = $who)",
            "SELECT * FROM (PIVOT (SELECT 'a' AS k, $who AS v) ON k IN ('a') USING any_value(v))",
        ],
    )
    def test_elsewhere_such_characters_are_text(self, written, raw, sql):
        shared = {"raw": raw} if "$raw" in sql else None
        assert len(written(sql, {"who": "*"}, shared=shared)[1]) >= 1


class TestSources:
    def test_a_missing_file_is_named_and_may_be_tried_again(self, connection):
        query = PartitionQuery(connection, "SELECT * FROM 'gone.csv' WHERE $origin = $date")
        with pytest.raises(
            AirflowException,
            match=rf"partition {KEY}: DuckDB failed; check that the sources exist.*gone\.csv",
        ) as caught:
            query.select(KEY, PARTITION)
        assert not isinstance(caught.value, QueryError)

    def test_an_unknown_column_is_bad_input(self, connection):
        query = PartitionQuery(connection, "SELECT wings FROM flights WHERE $origin = $date")
        with pytest.raises(
            QueryError, match=f'partition {KEY}: the query doesn\'t fit: Binder Error: .*"wings"'
        ):
            query.select(KEY, PARTITION)

    def test_no_rows_make_a_file_with_the_columns(self, written):
        assert written(
            "SELECT flight FROM flights WHERE origin = $origin AND date = $date::DATE AND false"
        ) == (["flight"], [])
