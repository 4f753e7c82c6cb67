"""One schema for all partitions of a lake: said by an author, or told by the partitions that are there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.operators.duckdb.agreement import Agreement
from airflow_mapping_kit.operators.duckdb.local import LocalTarget
from airflow_mapping_kit.operators.duckdb.s3 import S3Target
from airflow_mapping_kit.operators.partition.addresses import addresses
from airflow_mapping_kit.storage.buckets import s3_hook
from airflow_mapping_kit.storage.uris import target_of
from airflows import DAG, AirflowFailException
from instances import INSTANCE

# What read_csv makes of a ZIP code: a number, until one has a letter.
ZIPS = "SELECT 1 AS id, {} AS zip, $d AS day"
SCHEMA = {"zip": "VARCHAR", "id": "BIGINT"}


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


@pytest.fixture
def publish(lake):
    """Return a function that runs the operator, the target being `lake` unless another is given."""

    def run(sql, d, **arguments):
        partition = [{"d": one} for one in d] if isinstance(d, list) else {"d": d}
        given = {"target": lake, "sql": sql, "partition": partition, **arguments}
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", unused=["d"], **given)
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


def columns(path):
    described = duckdb.sql(
        f"DESCRIBE SELECT * FROM read_parquet('{path}', hive_partitioning = false)"
    ).fetchall()
    return {name: kind for name, kind, *_ in described}


def rows(path):
    return duckdb.sql(f"FROM read_parquet('{path}', hive_partitioning = false)").fetchall()


class TestGiven:
    def test_the_file_has_the_columns_in_their_order_and_types(self, publish):
        path = publish("SELECT 1::TINYINT AS id, 12345 AS zip, 'x' AS d", "x", schema=SCHEMA)["path"]
        assert columns(path) == SCHEMA
        assert rows(path) == [("12345", 1)]

    def test_partitions_of_other_types_become_one_lake(self, publish, lake):
        for day, sql in (("1", "12345"), ("2", "'A1234'"), ("3", "NULL")):
            publish(f"SELECT 1 AS id, {sql} AS zip", day, schema=SCHEMA)
        found = duckdb.sql(
            f"SELECT zip FROM read_parquet('{lake}/**/*.parquet') ORDER BY filename"
        ).fetchall()
        assert found == [("12345",), ("A1234",), (None,)]

    @pytest.mark.parametrize(
        ("value", "kind", "stored"),
        [
            ("sum(5)", "BIGINT", 5),
            ("sum(5)", "HUGEINT", 5),
            ("1.0::DOUBLE", "INTEGER", 1),
            ("'7'", "BIGINT", 7),
            ("TIMESTAMP '2013-01-01 00:00:00'", "varchar", "2013-01-01 00:00:00"),
            ("[1, NULL]", "VARCHAR[]", ["1", None]),
            ("{'a': 1}", "STRUCT(a BIGINT, b VARCHAR)", {"a": 1, "b": None}),
            ("NULL", "STRUCT(a BIGINT)", None),
            ("NULL", "TIMESTAMPTZ", None),
            ("'b'", "ENUM('a', 'b')", "b"),
        ],
    )
    def test_what_loses_nothing_is_converted(self, publish, value, kind, stored):
        assert rows(publish(f"SELECT {value} AS v", "x", schema={"v": kind})["path"]) == [(stored,)]

    @pytest.mark.parametrize(
        ("value", "given", "kind", "shown"),
        [
            ("'A1234'", "VARCHAR", "BIGINT", "A1234"),
            ("'007'", "VARCHAR", "BIGINT", "007"),
            ("1.5::DOUBLE", "DOUBLE", "INTEGER", "1.5"),
            ("3000000000", "BIGINT", "INTEGER", "3000000000"),
            ("9007199254740993", "BIGINT", "DOUBLE", "9007199254740993"),
            ("TIMESTAMP '2013-01-01 01:00:00'", "TIMESTAMP", "DATE", "2013-01-01 01:00:00"),
            ("1", "INTEGER", "TIMESTAMP", "1"),
        ],
    )
    def test_what_would_change_a_value_names_column_partition_and_both_types(
        self, publish, value, given, kind, shown
    ):
        message = (
            f"partition d=x: the column 'v' is {given} in the query and {kind} in the schema, which would change its "
            f"value {shown}: write CAST"
        )
        with pytest.raises(AirflowFailException, match=message):
            publish(f"SELECT {value} AS v", "x", schema={"v": kind})

    @pytest.mark.parametrize(
        ("sql", "schema", "message"),
        [
            (
                "SELECT 1 AS a",
                {"a": "INTEGER", "b": "INTEGER"},
                "partition d=x: the query doesn't select 'b'",
            ),
            (
                "SELECT 1 AS a, 2 AS bb",
                {"a": "INTEGER"},
                "partition d=x: the query selects 'bb', which the schema hasn't",
            ),
            ("SELECT 1 AS a", {"a": "INTEGER", "D": "DATE"}, "'D' is a dimension, which lives in the path"),
            ("SELECT 1 AS a", {"a": "NUMBRE"}, "'NUMBRE' of the column 'a' is no type of DuckDB's"),
            ("SELECT 1 AS a", {"a": "INTEGER) AS b, (1"}, "is no type of DuckDB's"),
            ("SELECT 1 AS a", {"a": "INTERVAL"}, "schema: the column 'a' is of type INTERVAL"),
            (
                "SELECT now() AS a",
                {"a": "TIMESTAMP"},
                "the time zone is not known: write \"a\" AT TIME ZONE 'UTC'",
            ),
            (
                "SELECT [{'x': now()}] AS a",
                {"a": "STRUCT(x TIMESTAMP)[]"},
                "of each moment that is nested in it",
            ),
            ("SELECT {'a': 1} AS a", {"a": "STRUCT(b INTEGER)"}, "DuckDB converts none to the other"),
        ],
    )
    def test_a_schema_that_cannot_be_is_named(self, publish, sql, schema, message):
        with pytest.raises(AirflowFailException, match=message):
            publish(sql, "x", schema=schema)

    def test_a_row_of_another_partition_is_seen_as_ever(self, publish):
        with pytest.raises(AirflowFailException, match="the query returned a row with d=y"):
            publish("SELECT 1 AS a, 'y' AS d", "x", schema={"a": "BIGINT"})


class TestOfTheLake:
    def test_other_types_are_refused_before_anything_is_published(self, publish, lake):
        first = Path(publish(ZIPS.format("12345"), "2013-01-01")["path"])
        message = (
            "partition d=2013-01-02: its columns aren't those of .*/d=2013-01-01/data_0.parquet, .*: "
            "'zip' is VARCHAR here and INTEGER there. Nothing is published. Cast them in the query. Or, .* "
            r"schema=\{'id': 'INTEGER', 'zip': 'VARCHAR', 'day': 'VARCHAR'\}"
        )
        with pytest.raises(AirflowFailException, match=message):
            publish(ZIPS.format("'A1234'"), "2013-01-02")
        assert [path for path in Path(lake).rglob("*") if path.is_file()] == [first]

    def test_columns_that_are_only_here_or_only_there_are_named(self, publish):
        publish("SELECT 1 AS a, 2 AS b", "1")
        with pytest.raises(AirflowFailException, match="'c' is only here; 'b' is only there"):
            publish("SELECT 1 AS a, 2 AS c", "2")

    def test_their_order_means_nothing(self, publish):
        publish("SELECT 1 AS a, 2 AS b", "1")
        assert publish("SELECT 2 AS b, 1 AS a", "2")["rows"] == 1

    def test_a_partition_that_is_alone_may_have_other_columns_when_it_is_loaded_again(self, publish):
        publish("SELECT 1 AS a", "1")
        assert columns(publish("SELECT 'x' AS a", "1")["path"]) == {"a": "VARCHAR"}

    def test_who_says_the_schema_may_change_it(self, publish):
        publish("SELECT 1 AS a", ["1", "2"])
        assert columns(publish("SELECT 1 AS a", "1", schema={"a": "VARCHAR"})["path"]) == {"a": "VARCHAR"}

    def test_within_a_batch_the_later_ones_are_told_by_the_first(self, publish, tmp_path):
        for day, text in (("1", "zip\n12345"), ("2", "zip\nA1234"), ("3", "zip\n12347")):
            (tmp_path / f"{day}.csv").write_text(text)
        sql = f"SELECT zip FROM read_csv('{tmp_path}/' || $d || '.csv', header = true)"
        message = (
            r"1 of 3 partitions failed: d=2\. Published: d=1, d=3.*'zip' is VARCHAR here and BIGINT there"
        )
        with pytest.raises(AirflowFailException, match=message):
            publish(sql, ["1", "2", "3"])
        assert [row["rows"] for row in publish(sql, ["1", "2", "3"], schema={"zip": "VARCHAR"})] == [1, 1, 1]

    def test_a_file_of_others_that_is_none_keeps_nobody_from_loading(self, publish, lake, tmp_path, caplog):
        (tmp_path / "lake/d=0").mkdir(parents=True)
        (tmp_path / "lake/d=0/part.parquet").write_bytes(b"PAR1 and no more")
        assert publish("SELECT 1 AS a", "1")["rows"] == 1
        assert "d=0/part.parquet is no whole Parquet file" in caplog.text

    def test_files_of_other_tools_and_targets_like_globs_tell_too(self, publish, tmp_path):
        target = tmp_path / "la[k]e*"
        (target / "d=0").mkdir(parents=True)
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(
            pyarrow.table({"a": ["x"]}), target / "d=0/part-0.parquet"
        )
        with pytest.raises(AirflowFailException, match="'a' is INTEGER here and VARCHAR there"):
            publish("SELECT 1 AS a", "1", target=str(target))

    def test_a_footer_of_many_columns_is_read_whole(self, publish):
        wide = "SELECT " + ", ".join(f"{n} AS column_with_a_long_name_{n}" for n in range(1500))
        publish(wide, "1")
        with pytest.raises(
            AirflowFailException, match="'column_with_a_long_name_7' is BIGINT here and INTEGER there"
        ):
            publish(
                wide.replace("7 AS column_with_a_long_name_7,", "7::BIGINT AS column_with_a_long_name_7,"),
                "2",
            )


class TestFirstOnes:
    """Several partitions are written into an empty lake at once."""

    @pytest.fixture(params=["disk", "s3"])
    def target(self, request, lake):
        if request.param == "disk":
            return lake, None
        return f"s3://{request.getfixturevalue('s3_bucket')}/lake", request.getfixturevalue("s3_conn")

    def test_of_many_that_disagree_the_lake_has_those_that_are_alike(self, target, tmp_path):
        start, (where, conn_id) = threading.Barrier(8), target

        def load(place):
            start.wait()
            scratch = tmp_path / place.partition["d"]
            scratch.mkdir()
            place_of = target_of(where)
            into = (
                LocalTarget(where)
                if place_of is None
                else S3Target(place_of.bucket, place_of.key, s3_hook(conn_id), scratch)
            )
            value = "1" if int(place.partition["d"]) % 2 else "'x'"
            with duckdb.connect() as connection, into.staged(place.key, place.directory) as staged:
                copy = f"COPY (SELECT {value} AS a) TO '{staged.path}' (FORMAT parquet, USE_TMP_FILE false)"
                connection.execute(copy)
                try:
                    published = Agreement(connection, where, conn_id, scratch).check(place, staged.path)
                except QueryError as error:
                    return str(error)
                staged.publish()
                published()
            return None

        with ThreadPoolExecutor(8) as pool:
            failed = list(pool.map(load, addresses([{"d": str(number)} for number in range(8)], None)))
        texts, numbers = failed[::2], failed[1::2]
        assert sorted([all(texts), all(numbers)]) == [False, True]
        assert sorted([any(texts), any(numbers)]) == [False, True]
        assert all("'a' is" in error for error in failed if error)

    def test_who_comes_while_the_first_is_being_published_holds_to_it(self, target, lake, tmp_path):
        with duckdb.connect() as connection:
            for name, value in (("number", "1"), ("text", "'x'")):
                connection.execute(f"COPY (SELECT {value} AS a) TO '{tmp_path}/{name}' (FORMAT parquet)")
            first, second, third = addresses([{"d": "1"}, {"d": "2"}, {"d": "3"}], None)
            check = [Agreement(connection, *target, tmp_path).check for _ in range(3)]
            published = check[0](first, tmp_path / "number")
            with pytest.raises(
                QueryError, match=r"those of the first one, d=1.*delete .*\.mapping-kit-columns-"
            ):
                check[1](second, tmp_path / "text")
            check[2](third, tmp_path / "number")
            published()
            # Nothing of it stays, and d=1 wasn't really published.
            check[1](second, tmp_path / "text")
