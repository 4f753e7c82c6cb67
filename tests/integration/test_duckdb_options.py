"""What DuckDBPartitionOperator passes on to DuckDB, as the files that it writes tell of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import threading

import duckdb
import duckdb_extensions
import pytest

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator, swapped
from airflow_mapping_kit.storage.lake import published
from airflows import DAG, AirflowException, AirflowFailException
from instances import INSTANCE

MANY = "SELECT range AS n, 'row ' || range AS text FROM range(10000) WHERE $p IS NOT NULL"
ROW = "SELECT $p AS value, 1 AS n"
PROVIDER = importlib.util.find_spec("airflow.providers.duckdb") is not None


@pytest.fixture
def publish(tmp_path):
    """Return a function that runs the operator, its target being the folder `lake`."""

    def run(sql, partition=None, **arguments):
        given = {
            "sql": sql,
            "partition": partition or {"p": "a"},
            "target": str(tmp_path / "lake"),
            **arguments,
        }
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", **given)
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


def metadata(path, what):
    return {row[0] for row in duckdb.sql(f"SELECT {what} FROM parquet_metadata('{path}')").fetchall()}


class TestFiles:
    @pytest.mark.parametrize(
        ("given", "codec"),
        [
            (None, "SNAPPY"),
            ("ZSTD", "ZSTD"),
            ("gzip", "GZIP"),
            ("uncompressed", "UNCOMPRESSED"),
            ("lz4", "LZ4_RAW"),
        ],
    )
    def test_a_file_has_the_compression_that_was_asked_for(self, publish, given, codec):
        result = publish(MANY, compression=given)
        assert metadata(result["path"], "compression") == {codec}
        assert duckdb.sql(f"SELECT count(*), sum(n) FROM '{result['path']}'").fetchall() == [
            (10_000, 49_995_000)
        ]

    def test_a_row_group_has_as_many_rows_as_were_asked_for(self, publish):
        assert metadata(publish(MANY)["path"], "row_group_num_rows") == {10_000}
        assert metadata(publish(MANY, row_group_size=4096)["path"], "row_group_num_rows") == {4096, 1808}

    def test_the_options_hold_for_each_partition_of_a_batch(self, publish):
        results = publish(MANY, [{"p": "a"}, {"p": "b"}], compression="brotli", row_group_size=2048)
        for result in results:
            assert metadata(result["path"], "compression") == {"BROTLI"}
            assert len(metadata(result["path"], "row_group_id")) == 5


class TestSettings:
    ASKED = "SELECT current_setting('{}')::VARCHAR AS value, $p AS p"

    def value(self, publish, setting, **arguments):
        return duckdb.sql(
            f"SELECT value FROM '{publish(self.ASKED.format(setting), **arguments)['path']}'"
        ).fetchone()[0]

    @pytest.mark.parametrize(
        ("name", "given", "found"),
        [
            ("preserve_insertion_order", False, "false"),
            ("default_null_order", "nulls_first", "NULLS_FIRST"),
            ("partitioned_write_flush_threshold", 1000, "1000"),
        ],
    )
    def test_a_setting_holds_while_the_query_runs(self, publish, name, given, found):
        assert self.value(publish, name, settings={name: given}) == found

    def test_values_of_settings_are_never_part_of_a_statement(self, publish):
        hostile = "x'; COPY (SELECT 1) TO 'stolen.csv'; --"
        assert self.value(publish, "home_directory", settings={"home_directory": hostile}) == hostile

    def test_what_duckdb_refuses_is_named(self, publish):
        with pytest.raises(
            AirflowFailException, match=r"settings: DuckDB refuses preserve_insertion_order='maybe'"
        ):
            publish(ROW, settings={"preserve_insertion_order": "maybe"})
        with pytest.raises(
            AirflowFailException, match=r"settings: DuckDB refuses nonsense=1: .*unrecognized"
        ):
            publish(ROW, settings={"nonsense": 1})
        with pytest.raises(
            AirflowFailException, match=r"settings: DuckDB refuses nonsense=1: .*unrecognized"
        ):
            publish(ROW, settings={"nonsense": 1}, extensions=["parquet"])

    def test_memory_and_threads_are_one_gibibyte_and_one_unless_given(self, publish):
        assert self.value(publish, "memory_limit") == "1.0 GiB"
        assert self.value(publish, "threads") == "1"
        assert self.value(publish, "memory_limit", memory_limit="300MiB") == "300.0 MiB"
        assert self.value(publish, "threads", threads="2") == "2"
        with pytest.raises(AirflowFailException, match="threads='{many}' is no number of threads"):
            publish(ROW, threads="{many}")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"threads": 0}, "threads=0 is no number of threads"),
            ({"memory_limit": "1 apple"}, "memory_limit='1 apple' is no size"),
            ({"compression": "zip"}, "compression='zip' is none of"),
            ({"schema": ["n"]}, "is no dict of columns"),
            ({"on_empty": "ignore"}, "on_empty='ignore' is none of"),
        ],
    )
    def test_of_a_mapped_task_too_what_cannot_be_is_refused_when_the_dag_is_parsed(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            DuckDBPartitionOperator.partial(task_id="load", sql=ROW, target="lake", **arguments)
        # What a template makes is known only when an instance runs.
        DuckDBPartitionOperator.partial(
            task_id="load",
            sql=ROW,
            target="lake",
            threads="{{ params.n }}",
            memory_limit="{{ params.memory }}",
        ).expand(partition=[{"p": "a"}])

    def test_a_value_that_a_cast_of_the_query_cannot_read_is_named(self, publish):
        sql = "SELECT 1 AS n WHERE $date::DATE > DATE '2000-01-01'"
        with pytest.raises(
            AirflowFailException,
            match=r'"05\.01\.2024"(?s:.*)the value of the dimension \'date\': correct it, change the cast',
        ):
            publish(sql, {"date": "05.01.2024"})

    def test_memory_threads_and_values_of_settings_are_templates(self, dag_test, tmp_path):
        with DAG(
            "templated_settings", schedule=None, params={"memory": "200MiB", "threads": 2, "retries": 7}
        ) as dag:
            DuckDBPartitionOperator(
                task_id="load",
                sql="SELECT current_setting('memory_limit') AS memory, current_setting('threads') AS threads, "
                "current_setting('partitioned_write_max_open_files') AS files, $p AS p",
                partition={"p": "a"},
                target=str(tmp_path / "lake"),
                memory_limit="{{ params.memory }}",
                threads="{{ params.threads }}",
                settings={"partitioned_write_max_open_files": "{{ params.retries }}"},
            )
        assert dag_test(dag)["load", -1].state == "success"
        found = duckdb.sql(f"FROM read_parquet('{tmp_path}/lake/p=a/*.parquet', hive_partitioning = false)")
        assert found.fetchall() == [("200.0 MiB", 2, 7)]


class TestExtensions:
    def test_an_extension_that_is_installed_is_loaded_without_a_network(self, publish):
        duckdb_extensions.import_extension("httpfs")
        asked = "SELECT loaded, $p AS p FROM duckdb_extensions() WHERE extension_name = 'httpfs'"
        result = publish(asked, extensions=["httpfs"], settings={"http_retries": 7})
        assert duckdb.sql(f"SELECT loaded FROM '{result['path']}'").fetchall() == [(True,)]

    def test_one_that_is_not_there_and_cannot_be_downloaded_is_named(self, publish, tmp_path):
        nowhere = {"extension_directory": str(tmp_path), "custom_extension_repository": "http://127.0.0.1:1"}
        with pytest.raises(
            AirflowException, match="extensions: DuckDB's 'fts' isn't installed where this task runs"
        ):
            publish(ROW, extensions=["fts"], settings=nowhere)


@pytest.mark.skipif(PROVIDER, reason="Airflow's DuckDB provider is installed here")
def test_without_the_provider_a_connection_of_duckdb_names_what_to_install(publish):
    with pytest.raises(
        AirflowFailException,
        match=r"duckdb_conn_id='warehouse' needs .* 'airflow-mapping-kit\[duckdb-hook\]'",
    ):
        publish(ROW, duckdb_conn_id="warehouse")


@pytest.mark.skipif(not PROVIDER, reason="needs Airflow's DuckDB provider")
class TestConnection:
    @pytest.fixture
    def warehouse(self, tmp_path, monkeypatch):
        """Return a database file that the connection `warehouse` names."""
        path = tmp_path / "warehouse.duckdb"
        with duckdb.connect(str(path)) as database:
            database.execute(
                "CREATE TABLE flights AS SELECT range AS n, ['a', 'b'][1 + range % 2] AS p FROM range(10)"
            )
        extra = {"memory_limit": "250MiB", "threads": 2, "settings": {"default_null_order": "nulls_first"}}
        connection = {"conn_type": "duckdb", "host": str(path), "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
        return path

    def test_the_query_reads_the_tables_of_the_database_beside_others_that_read_it(self, publish, warehouse):
        with duckdb.connect(
            str(warehouse), read_only=True, config={"default_null_order": "nulls_first", "threads": 2}
        ):
            pass
        result = publish("SELECT n FROM flights WHERE p = $p", {"p": "b"}, duckdb_conn_id="warehouse")
        assert duckdb.sql(f"SELECT n FROM '{result['path']}' ORDER BY n").fetchall() == [
            (1,),
            (3,),
            (5,),
            (7,),
            (9,),
        ]

    def test_what_the_operator_says_goes_before_what_the_connection_says(self, publish, warehouse):
        asked = (
            "SELECT current_setting('memory_limit') AS m, current_setting('threads') AS t, "
            "current_setting('default_null_order') AS o, $p AS p"
        )
        result = publish(asked, duckdb_conn_id="warehouse")
        assert duckdb.sql(f"SELECT m, t, o FROM '{result['path']}'").fetchall() == [
            ("250.0 MiB", 2, "NULLS_FIRST")
        ]
        given = {"memory_limit": "150MiB", "threads": 1, "settings": {"default_null_order": "nulls_last"}}
        result = publish(asked, duckdb_conn_id="warehouse", **given)
        assert duckdb.sql(f"SELECT m, t, o FROM '{result['path']}'").fetchall() == [
            ("150.0 MiB", 1, "NULLS_LAST")
        ]

    def test_the_database_is_not_written_to(self, publish, warehouse):
        before = warehouse.read_bytes()
        publish("SELECT n FROM flights WHERE p = $p", {"p": "b"}, duckdb_conn_id="warehouse")
        assert warehouse.read_bytes() == before

    def test_what_cannot_be_opened_is_named(self, publish, monkeypatch, tmp_path):
        monkeypatch.setenv(
            "AIRFLOW_CONN_GONE", json.dumps({"conn_type": "duckdb", "host": str(tmp_path / "gone")})
        )
        with pytest.raises(
            AirflowException, match="duckdb_conn_id='gone': its database can't be opened for reading"
        ):
            publish(ROW, duckdb_conn_id="gone")
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "aws"}))
        with pytest.raises(
            AirflowFailException, match="duckdb_conn_id='other' is a connection of type 'aws'"
        ):
            publish(ROW, duckdb_conn_id="other")


class TestSeveralFiles:
    SQL = (
        "SELECT range AS n, md5(range::VARCHAR) AS text, {} AS version FROM range(40000) WHERE $p IS NOT NULL"
    )
    SIZE = {"file_size_bytes": "300KB", "row_group_size": 4096}

    def read(self, tmp_path):
        asked = "SELECT count(*), count(DISTINCT n), count(DISTINCT version), count(DISTINCT filename), min(version)"
        found = duckdb.sql(f"{asked} FROM read_parquet('{tmp_path}/lake/**/*.parquet', filename = true)")
        return found.fetchone()

    def test_a_partition_is_a_directory_of_files_above_the_size(self, publish, tmp_path):
        result = publish(self.SQL.format(1), **self.SIZE)
        assert result["path"] == str(tmp_path / "lake/p=a")
        sizes = [path.stat().st_size for path in (tmp_path / "lake/p=a").iterdir()]
        assert len(sizes) > 3
        assert sum(sizes) == result["bytes"]
        assert self.read(tmp_path) == (40_000, 40_000, 1, len(sizes), 1)
        assert list(published(str(tmp_path / "lake"))) == [{"p": "a"}]
        assert (tmp_path / "lake/p=a").stat().st_mode & 0o777 == (tmp_path / "lake").stat().st_mode & 0o777

    def test_all_are_replaced_together_and_what_is_no_parquet_stays(self, publish, tmp_path):
        publish(self.SQL.format(1))
        (tmp_path / "lake/p=a/notes.txt").write_text("kept")
        for version in (2, 3):
            publish(self.SQL.format(version), **self.SIZE)
            rows, numbers, versions, _, seen = self.read(tmp_path)
            assert (rows, numbers, versions, seen) == (40_000, 40_000, 1, version)
        assert (tmp_path / "lake/p=a/notes.txt").read_text() == "kept"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lake"]
        publish(self.SQL.format(4))
        assert self.read(tmp_path) == (40_000, 40_000, 1, 1, 4)

    def test_who_dies_right_after_the_swap_has_lost_nobody_elses_file(self, publish, tmp_path, monkeypatch):
        publish(self.SQL.format(1), **self.SIZE)
        (tmp_path / "lake/p=a/notes.txt").write_text("kept")
        (tmp_path / "lake/p=a/latest").symlink_to("notes.txt")
        put = swapped._put

        def dies(new, folder):
            put(new, folder)
            raise KeyboardInterrupt

        monkeypatch.setattr(swapped, "_put", dies)
        with pytest.raises(KeyboardInterrupt):
            publish(self.SQL.format(2), **self.SIZE)
        assert self.read(tmp_path)[4] == 2
        assert (tmp_path / "lake/p=a/latest").read_text() == "kept"

    def test_what_somebody_writes_while_it_is_swapped_stays(self, publish, tmp_path, monkeypatch):
        publish(self.SQL.format(1), **self.SIZE)
        (tmp_path / "lake/p=a/notes.txt").write_text("old")
        put = swapped._put

        def meanwhile(new, folder):
            (folder / "newer.txt").write_text("new")
            (folder / "notes.txt.tmp").write_text("written anew")
            (folder / "notes.txt.tmp").replace(folder / "notes.txt")
            put(new, folder)

        monkeypatch.setattr(swapped, "_put", meanwhile)
        publish(self.SQL.format(2), **self.SIZE)
        texts = {path.name: path.read_text() for path in (tmp_path / "lake/p=a").glob("*.txt")}
        assert texts == {"notes.txt": "written anew", "newer.txt": "new"}

    def test_a_query_that_fails_leaves_what_is_there(self, publish, tmp_path):
        publish(self.SQL.format(1), **self.SIZE)
        failing = self.SQL.format("IF(range < 30000, 2, error('half way'))")
        with pytest.raises(AirflowException, match="half way"):
            publish(failing, **self.SIZE)
        assert self.read(tmp_path)[4] == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lake"]

    def test_a_reader_sees_one_version_or_is_told_that_files_are_gone(self, publish, tmp_path):
        publish(self.SQL.format(0), **self.SIZE)
        done, seen = threading.Event(), []

        def look():
            asked = f"FROM read_parquet('{tmp_path}/lake/**/*.parquet')"
            with duckdb.connect(config={"threads": 1}) as connection:
                while not done.is_set() or not seen:
                    with contextlib.suppress(duckdb.IOException):
                        seen.append(
                            connection.execute(f"SELECT count(*), count(DISTINCT version) {asked}").fetchone()
                        )

        reader = threading.Thread(target=look)
        reader.start()
        for version in range(1, 8):
            publish(self.SQL.format(version), **self.SIZE)
        done.set()
        reader.join()
        assert set(seen) == {(40_000, 1)}

    def test_partitions_within_the_directory_are_not_swapped_away(self, publish, tmp_path):
        (tmp_path / "lake/p=a/q=1").mkdir(parents=True)
        with pytest.raises(AirflowFailException, match="the directory 'q=1' lies in"):
            publish(ROW, file_size_bytes=1000)

    @pytest.mark.parametrize(
        "target", ["s3://lake/flights", "gs://google@lake/flights", "az://azure@lake/flights"]
    )
    def test_it_is_refused_where_it_cannot_be_one_step(self, publish, target):
        with pytest.raises(AirflowFailException, match=f"file_size_bytes=1000: .* the target is '{target}'"):
            publish(ROW, target=target, file_size_bytes=1000)
