"""DuckDBPartitionOperator on a real S3 server."""

from __future__ import annotations

import json
import logging
import sys
import traceback

import duckdb
import pytest

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflows import DAG, AirflowException, AirflowFailException, AirflowSkipException
from instances import INSTANCE
from row_groups import row_groups

ROW = "SELECT $p AS value, 1 AS n"


@pytest.fixture
def publish(s3_bucket, s3_conn):
    """Return a function that runs the operator with a prefix of the bucket as its target."""

    def run(sql, partition, **arguments):
        given = {
            "sql": sql,
            "partition": partition,
            "target": f"s3://{s3_bucket}/lake",
            "aws_conn_id": s3_conn,
        }
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", **{**given, **arguments})
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


@pytest.fixture
def keys(s3_client, s3_bucket):
    """Return a function that lists the bucket."""
    return lambda: [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3_bucket).get("Contents", ())]


@pytest.fixture
def rows(s3_client, s3_bucket, tmp_path):
    """Return a function that reads an object's rows."""

    def read(key):
        path = tmp_path / "object.parquet"
        s3_client.download_file(s3_bucket, key, str(path))
        return duckdb.sql(f"FROM read_parquet('{path}', hive_partitioning = false)").fetchall()

    return read


@pytest.fixture
def httpfs():
    import duckdb_extensions

    duckdb_extensions.import_extension("httpfs")


class TestPublishing:
    def test_a_partition_is_one_object_of_its_key(self, publish, keys, rows, s3_client, s3_bucket):
        result = publish(ROW, {"p": "a", "d": 1}, unused=["d"])
        key = "lake/d=1/p=a/data_0.parquet"
        assert keys() == [key]
        size = s3_client.head_object(Bucket=s3_bucket, Key=key)["ContentLength"]
        assert result == {"key": "d=1/p=a", "path": f"s3://{s3_bucket}/{key}", "rows": 1, "bytes": size}
        assert rows(key) == [("a", 1)]

    @pytest.mark.parametrize("prefix", ["", "/", "/a/b", "/a/b/"])
    def test_any_prefix_will_do(self, publish, keys, s3_bucket, prefix):
        publish(ROW, {"p": "a"}, target=f"s3://{s3_bucket}{prefix}")
        assert keys() == [f"{prefix.strip('/')}/p=a/data_0.parquet".lstrip("/")]

    def test_a_re_run_replaces_also_with_zero_rows_where_that_is_said(self, publish, keys, rows):
        publish(ROW, {"p": "a"})
        publish("SELECT $p AS value, 2 AS n", {"p": "a"})
        assert rows("lake/p=a/data_0.parquet") == [("a", 2)]
        publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="replace")
        assert rows("lake/p=a/data_0.parquet") == []
        assert keys() == ["lake/p=a/data_0.parquet"]

    def test_skipping_leaves_what_is_there(self, publish, keys, rows):
        publish(ROW, {"p": "a"})
        with pytest.raises(AirflowSkipException):
            publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="skip")
        assert rows("lake/p=a/data_0.parquet") == [("a", 1)]

    def test_only_parquet_objects_directly_under_the_partition_are_replaced(
        self, publish, keys, s3_client, s3_bucket
    ):
        kept = [
            "lake/old.parquet",
            "lake/p=a/",
            "lake/p=a/notes.txt",
            "lake/p=a/q=1/old.parquet",
            "lake/p=ab/old.parquet",
        ]
        for key in [*kept, "lake/p=a/old.parquet", "lake/p=a/part-1.parquet"]:
            s3_client.put_object(Bucket=s3_bucket, Key=key, Body=b"old")
        publish(ROW, {"p": "a"})
        assert keys() == sorted([*kept, "lake/p=a/data_0.parquet"])

    def test_a_large_object_goes_up_in_parts(self, publish, s3_client, s3_bucket, tmp_path):
        sql = "SELECT md5(range::VARCHAR) AS v FROM range(400000) WHERE $p = 1"
        result = publish(sql, {"p": 1}, compression="uncompressed", row_group_size=204_800)
        found = s3_client.head_object(Bucket=s3_bucket, Key="lake/p=1/data_0.parquet")
        assert found["ContentLength"] == result["bytes"] > 8 * 1024**2
        assert "-" in found["ETag"]
        s3_client.download_file(s3_bucket, "lake/p=1/data_0.parquet", str(tmp_path / "copy.parquet"))
        assert row_groups([tmp_path / "copy.parquet"]) == {
            ("UNCOMPRESSED", 204_800),
            ("UNCOMPRESSED", 195_200),
        }

    @pytest.mark.parametrize(
        "value", ["it's", "a/b", "..", "a=b", "100%", "a\nb", "{{ 1 + 1 }}", "é😀", "x" * 300]
    )
    def test_strange_values_stay_under_the_prefix(self, publish, keys, rows, value):
        publish(ROW, {"p": value})
        (key,) = keys()
        assert key.startswith("lake/p=")
        assert key.count("/") == 2
        assert rows(key) == [(value, 1)]

    def test_a_batch_is_published_one_by_one(self, publish, keys):
        with pytest.raises(
            AirflowFailException, match=r"1 of 3 partitions failed: p=x\. Published: p=1, p=2\."
        ):
            publish("SELECT $p::INTEGER AS n", [{"p": "1"}, {"p": "x"}, {"p": "2"}])
        assert keys() == ["lake/p=1/data_0.parquet", "lake/p=2/data_0.parquet"]


class TestReading:
    def test_the_query_reads_s3_with_the_connections_credentials(self, publish, rows, s3_bucket, httpfs):
        publish(ROW, {"p": "a"})
        publish(
            f"SELECT n + 1 AS n, value FROM 's3://{s3_bucket}/lake/p=a/*.parquet' WHERE $p = 'b'", {"p": "b"}
        )
        assert rows("lake/p=b/data_0.parquet") == [(2, "a")]

    def test_a_source_may_be_a_value_and_the_target_a_directory(self, publish, s3_bucket, tmp_path, httpfs):
        source = publish(ROW, {"p": "a"})["path"]
        result = publish(
            "SELECT n FROM read_parquet($source) WHERE $p = 'b'",
            {"p": "b"},
            parameters={"source": source},
            target=str(tmp_path / "local"),
        )
        assert result["path"] == f"{tmp_path}/local/p=b/data_0.parquet"
        assert duckdb.sql(f"SELECT n FROM '{result['path']}'").fetchall() == [(1,)]

    def test_each_partition_of_a_batch_reads_with_credentials_that_last(
        self, publish, rows, s3_bucket, s3_server, httpfs, monkeypatch
    ):
        """Those of a role end: here so soon that botocore asks for new ones each time."""
        extra = {
            "endpoint_url": s3_server,
            "region_name": "eu-west-1",
            "role_arn": "arn:aws:iam::123456789012:role/reader",
            "assume_role_kwargs": {"DurationSeconds": 900},
            "service_config": {"sts": {"endpoint_url": s3_server}},
        }
        connection = {"conn_type": "aws", "login": "AKIAQUAGGA", "password": "xylophone-1", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_OF_A_ROLE", json.dumps(connection))
        source = publish(ROW, {"p": "source"}, target=f"s3://{s3_bucket}/source")["path"]
        publish(
            "SELECT n, regexp_extract(secret_string, 'key_id=([^;]+)', 1) AS key_id "
            "FROM duckdb_secrets(), read_parquet($source) WHERE $p <> ''",
            [{"p": "a"}, {"p": "b"}, {"p": "c"}],
            parameters={"source": source},
            aws_conn_id="of_a_role",
        )
        found = [rows(f"lake/p={p}/data_0.parquet") for p in "abc"]
        assert [[n for n, _ in one] for one in found] == [[1], [1], [1]]
        assert len({key_id for ((_, key_id),) in found if key_id.startswith("ASIA")}) == 3

    def test_a_missing_source_is_named(self, publish, keys, s3_bucket, httpfs):
        with pytest.raises(
            AirflowException, match=rf"partition p=a: DuckDB failed; check .*s3://{s3_bucket}/gone"
        ):
            publish(f"SELECT * FROM 's3://{s3_bucket}/gone/*.parquet' WHERE $p = 'a'", {"p": "a"})
        assert keys() == []

    def test_without_httpfs_reading_fails_clearly_and_writing_works(
        self, publish, keys, tmp_path, monkeypatch
    ):
        connect = duckdb.connect
        # DuckDB looks for extensions in this folder; it can't download any to it, for lack of the repository.
        nowhere = {
            "extension_directory": str(tmp_path),
            "custom_extension_repository": str(tmp_path / "none"),
        }
        monkeypatch.setattr(
            duckdb, "connect", lambda path, config: connect(path, config={**config, **nowhere})
        )
        publish(ROW, {"p": "a"})
        with pytest.raises(
            AirflowException, match=r"reads s3://, and DuckDB's extension httpfs can't be loaded: install it"
        ):
            publish("SELECT * FROM 's3://b/x.parquet' WHERE $p = 'b'", {"p": "b"})
        assert keys() == ["lake/p=a/data_0.parquet"]


class TestBadInput:
    def test_a_bucket_that_is_not_there_is_named_before_the_query_runs(self, publish):
        sql = "SELECT error('the query ran') AS x WHERE $p = 'a'"
        with pytest.raises(
            AirflowFailException,
            match=r"refused to publish the partition p=a to s3://gone/.*NoSuchBucket.*check the bucket's name",
        ):
            publish(sql, {"p": "a"}, target="s3://gone/lake")

    def test_a_bucket_name_that_cannot_be_is_named(self, publish):
        with pytest.raises(
            AirflowFailException,
            match=r"(?s)Can't publish the partition p=a to s3://no bucket/.*Invalid bucket name",
        ):
            publish(ROW, {"p": "a"}, target="s3://no bucket/lake")

    def test_a_target_without_a_bucket_is_refused(self, publish):
        with pytest.raises(
            AirflowFailException, match="the target 's3:///lake' names no bucket: write s3://bucket/prefix"
        ):
            publish(ROW, {"p": "a"}, target="s3:///lake")

    def test_an_object_key_over_1024_bytes_is_refused_with_both_numbers(self, publish, keys):
        with pytest.raises(
            AirflowFailException, match="key would take 1031 bytes, and S3 takes 1024: shorten"
        ):
            publish(ROW, {"p": "é" * 504 + "a"})
        assert keys() == []

    def test_a_server_that_is_not_there_may_be_tried_again(self, publish, monkeypatch):
        extra = {
            "endpoint_url": "http://127.0.0.1:9",
            "region_name": "eu-west-1",
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }
        connection = {"conn_type": "aws", "login": "k", "password": "xylophone-1", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOBODY", json.dumps(connection))
        with pytest.raises(
            AirflowException, match="Can't publish the partition p=a to s3://.*127.0.0.1:9"
        ) as caught:
            publish(ROW, {"p": "a"}, aws_conn_id="nobody")
        assert not isinstance(caught.value, AirflowFailException)

    def test_without_the_amazon_provider_the_error_says_what_to_install(self, publish, monkeypatch):
        monkeypatch.setitem(sys.modules, "airflow.providers.amazon.aws.hooks.s3", None)
        with pytest.raises(AirflowFailException, match=r"pip install 'airflow-mapping-kit\[amazon\]'"):
            publish(ROW, {"p": "a"})


@pytest.mark.parametrize("password", ["zyzzyva/'quokka'", "zyzzyva\\'); DROP"])
def test_secrets_are_in_no_log_and_no_error(
    publish, s3_bucket, s3_server, httpfs, caplog, monkeypatch, password
):
    extra = {"endpoint_url": s3_server, "region_name": "eu-west-1"}
    connection = {"conn_type": "aws", "login": "AKIAQUAGGA", "password": password, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_STRANGE", json.dumps(connection))
    caplog.set_level(logging.DEBUG, logger="airflow.task")
    source = publish(ROW, {"p": "a"}, aws_conn_id="strange", target=f"s3://{s3_bucket}/source")["path"]
    publish(f"SELECT n FROM '{source}' WHERE $p = 'b'", {"p": "b"}, aws_conn_id="strange")
    with pytest.raises(AirflowException) as caught:
        publish("SELECT * FROM 's3://gone/x.parquet' WHERE $p = 'b'", {"p": "b"}, aws_conn_id="strange")
    assert password not in "".join(traceback.format_exception(caught.value))
    assert password not in caplog.text
    # What DuckDB refuses it quotes, so its message must not get out.
    monkeypatch.setattr("airflow_mapping_kit.tables.reading_s3.literal", lambda text: text)
    with pytest.raises(AirflowFailException, match="DuckDB refuses the S3 settings of the") as refused:
        publish(f"SELECT n FROM '{source}' WHERE $p = 'b'", {"p": "b"}, aws_conn_id="strange")
    assert password not in "".join(traceback.format_exception(refused.value))
