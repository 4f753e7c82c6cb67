from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.lake.database import connected
from airflow_mapping_kit.operators.lake.query import PartitionQuery
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
        rows = query.write(query.select(key, partition), path)
        stored = connection.execute("FROM read_parquet($path)", {"path": str(path)})
        names, values = [column[0] for column in stored.description], stored.fetchall()
        assert rows == len(values)
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

    def test_none_is_null(self, written):
        assert written("SELECT 1 AS x WHERE $v IS NULL", {"v": None}) == (["x"], [(1,)])

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
        with pytest.raises(QueryError, match=r"(?s)Could not convert string 'EWR'.*as in \$origin::INTEGER"):
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
