"""DuckDBPartitionOperator and lake_partitions on Google's and Azure's object storage."""

from __future__ import annotations

import base64
import json
import logging
import threading
from types import SimpleNamespace

import duckdb
import pytest

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.generators import lake_partitions
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.partitions import without
from airflow_mapping_kit.storage import other_files
from airflows import DAG, AirflowException, AirflowFailException, AirflowSkipException
from fault_proxy import fault_proxy
from instances import INSTANCE
from row_groups import row_groups
from stack.google import logins

pytestmark = pytest.mark.system

ROW = "SELECT $p AS value, 1 AS n"
STRANGE = [
    *(
        "a/b",
        "50%",
        "é",
        "日本",
        "NULL",
        "*",
        "[ab]",
        "a=b",
        "..",
        " ",
        "'",
        "1",
        "01",
        "%2F",
        "a?b#c",
        "{{ 1 }}",
    ),
    *("a\\b", "x.", "a\nb", "😀", "a+b&c", "~", "x" * 300, None),
]


@pytest.fixture
def impatient(store, monkeypatch):
    """Let Google's file system try again at once: it waits half a minute in all."""

    async def nothing(_):
        pass

    if store.scheme == "gs":
        monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=nothing))


@pytest.fixture
def publish(store, connection, bucket):
    """Return a function that runs the operator with a prefix of the bucket as its target."""

    def run(sql, partition, **arguments):
        given = {"sql": sql, "partition": partition, "target": f"{store.scheme}://{connection}@{bucket}/lake"}
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", **{**given, **arguments})
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


@pytest.fixture
def there(store, connection, bucket):
    """Return a function that lists the partitions below a prefix of the bucket."""
    target = f"{store.scheme}://{connection}@{bucket}"
    return lambda prefix="/lake", **arguments: lake_partitions.function(f"{target}{prefix}", **arguments)


@pytest.fixture
def rows(store, bucket, tmp_path):
    """Return a function that reads an object's rows."""

    def read(name):
        path = tmp_path / "object.parquet"
        path.write_bytes(store.objects(bucket)[name])
        return duckdb.sql(f"FROM read_parquet('{path}', hive_partitioning = false)").fetchall()

    return read


def test_a_partition_is_one_object_of_its_key(publish, store, bucket, rows, tmp_path):
    sql, options = f"{ROW} FROM range(3000)", {"compression": "gzip", "row_group_size": 2048}
    result = publish(sql, {"p": "a", "d": 1}, unused=["d"], **options)
    name = "lake/d=1/p=a/data_0.parquet"
    size = len(store.objects(bucket)[name])
    assert result == {
        "key": "d=1/p=a",
        "path": f"{store.scheme}://{bucket}/{name}",
        "rows": 3000,
        "bytes": size,
    }
    assert rows(name) == [("a", 1)] * 3000
    assert row_groups([tmp_path / "object.parquet"]) == {("GZIP", 2048), ("GZIP", 952)}


def test_a_re_run_replaces_and_what_is_skipped_or_fails_stays(publish, store, bucket, rows):
    name = "lake/p=a/data_0.parquet"
    publish(ROW, {"p": "a"})
    publish("SELECT $p AS value, 2 AS n", {"p": "a"})
    with pytest.raises(AirflowSkipException):
        publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="skip")
    with pytest.raises(AirflowFailException):
        publish("SELECT $p::INTEGER AS n", {"p": "a"})
    assert rows(name) == [("a", 2)]
    publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="replace")
    assert rows(name) == []
    assert list(store.objects(bucket)) == [name]


def test_only_parquet_objects_directly_under_the_partition_are_replaced(publish, store, bucket):
    kept = [
        *("lake/old.parquet", "lake/p=a/notes.txt", "lake/p=a/q=1/old.parquet", "lake/p=ab/old.parquet"),
        "lake/p=b/old.parquet",
    ]
    # The file systems take such names for globs.
    stale = ["old.parquet", "part-1.parquet", "*.parquet", "[o]ld.parquet", "a b.parquet", "%41.parquet"]
    for name in [*kept, *(f"lake/p=a/{one}" for one in stale)]:
        store.put(bucket, name, b"old")
    publish(ROW, {"p": "a"})
    assert sorted(store.objects(bucket)) == sorted([*kept, "lake/p=a/data_0.parquet"])


def test_what_could_not_be_removed_is_named_before_the_query_runs(publish, store, bucket):
    store.put(bucket, "lake/p=a/x?y.parquet", b"old")
    sql = "SELECT error('the query ran') AS x WHERE $p = 'a'"
    message = "the query ran" if store.scheme == "gs" else r"a \? or # is in the name of az://.*x\?y.parquet"
    with pytest.raises(AirflowException, match=message):
        publish(sql, {"p": "a"})


def test_strange_values_are_found_again(publish, there, store, bucket):
    partitions = [{"p": value, "n": n} for n, value in enumerate(STRANGE)]
    publish("SELECT 1 AS x", partitions, unused=["p", "n"])
    assert without(partitions, there()) == []
    assert len(there()) == len(partitions) == len(store.objects(bucket))
    assert all(name.startswith("lake/n=") and name.count("/") == 3 for name in store.objects(bucket))


@pytest.mark.parametrize("prefix", ["", "/", "/a/b/", "/a//b"])
def test_any_prefix_will_do(publish, there, store, connection, bucket, prefix):
    publish(ROW, {"p": "a"}, target=f"{store.scheme}://{connection}@{bucket}{prefix}")
    assert list(store.objects(bucket)) == [f"{prefix.strip('/')}/p=a/data_0.parquet".lstrip("/")]
    assert there(prefix) == [{"p": "a"}]


def test_a_prefix_is_a_directory_and_only_what_is_whole_counts(there, store, bucket, connection):
    assert there() == []
    store.put(bucket, "lake_old/p=2/data_0.parquet", b"PAR1")
    store.put(bucket, "lakep=3/data_0.parquet", b"PAR1")
    assert there() == []
    for name in ("p=1/data_0.parquet", "p=4/part-0.parquet", "p=7/x/data_0.parquet", "data_0.parquet"):
        store.put(bucket, f"lake/{name}", b"PAR1")
    with other_files.whole(f"{store.scheme}://{connection}@{bucket}/lake/p=6/data_0.parquet"):
        pass
    store.put(bucket, "lake/p=8", b"PAR1")
    assert there() == there("/lake/") == [{"p": "1"}]
    assert there(dimensions=["q"]) == []


def test_readers_see_the_old_rows_or_the_new_ones_alone(publish, store, bucket, connection):
    sql = "SELECT md5((range + $v)::VARCHAR) AS h FROM range(700000) WHERE $p = 'a'"
    contents = set()
    for version in (1, 2):
        publish(sql, {"p": "a"}, parameters={"v": version})
        contents.add(store.objects(bucket)["lake/p=a/data_0.parquet"])
    assert min(map(len, contents)) > 20 * 2**20
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add(store.objects(bucket)["lake/p=a/data_0.parquet"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        publish(sql, {"p": "a"}, parameters={"v": 1})
        publish(sql, {"p": "a"}, parameters={"v": 2})
    finally:
        done.set()
        reader.join()
    assert seen <= contents


def test_a_batch_is_published_one_by_one(publish, store, bucket):
    with pytest.raises(AirflowFailException, match=r"1 of 3 partitions failed: p=x\. Published: p=1, p=2\."):
        publish("SELECT $p::INTEGER AS n", [{"p": "1"}, {"p": "x"}, {"p": "2"}])
    assert sorted(store.objects(bucket)) == ["lake/p=1/data_0.parquet", "lake/p=2/data_0.parquet"]


class TestBadInput:
    def test_a_bucket_that_is_not_there_is_named_before_the_query_runs(self, publish, store, connection):
        sql = "SELECT error('the query ran') AS x WHERE $p = 'a'"
        target = f"{store.scheme}://{connection}@gone/lake"
        kind = "container" if store.scheme == "az" else "bucket"
        message = (
            rf"Can't publish the partition p=a to {store.scheme}://gone/lake/p=a/data_0.parquet with the Airflow "
            rf"connection '{connection}': there is no {kind} 'gone'"
        )
        with pytest.raises(AirflowFailException, match=message):
            publish(sql, {"p": "a"}, target=target)
        with pytest.raises(StorageError, match=rf"Can't list .*there is no {kind} 'gone'"):
            lake_partitions.function(target)

    def test_credentials_that_are_refused_are_told_and_nowhere_shown(
        self, publish, store, connect, bucket, caplog, request, impatient
    ):
        caplog.set_level(logging.DEBUG)
        if store.scheme == "az":
            secret = base64.b64encode(
                b"another key of sixty-four bytes, which opens no account at all.."
            ).decode()
            refused = connect(key=secret)
        else:
            token_uri = request.getfixturevalue("refusing_logins")
            refused = connect(token_uri=token_uri)
            secret = "PRIVATE KEY"
        target = f"{store.scheme}://{refused}@{bucket}/lake"
        with pytest.raises(AirflowFailException, match=r"refused \(.*credentials may read, write, list"):
            publish(ROW, {"p": "a"}, target=target)
        with pytest.raises(StorageError, match=rf"the Airflow connection '{refused}': refused") as caught:
            lake_partitions.function(target)
        assert secret not in str(caught.value)
        assert secret not in caplog.text

    @pytest.fixture
    def refusing_logins(self):
        with logins(status=400) as token_uri:
            yield token_uri

    def test_who_may_not_write_is_told_so_and_what_is_there_stays(self, publish, store, connect, bucket):
        publish(ROW, {"p": "a"})
        before = store.objects(bucket)
        with fault_proxy(store.endpoint_url) as proxy:
            proxy.before = lambda request: "403 denied" if request.kind in ("PUT", "POST") else None
            target = f"{store.scheme}://{connect(endpoint_url=proxy.url)}@{bucket}/lake"
            with pytest.raises(AirflowFailException, match=r"Can't publish the partition p=a .*refused"):
                publish("SELECT 2 AS n WHERE $p = 'a'", {"p": "a"}, target=target)
        assert store.objects(bucket) == before

    def test_a_store_that_fails_may_be_tried_again(self, publish, store, connect, bucket, impatient):
        with fault_proxy(store.endpoint_url) as proxy:
            proxy.before = lambda request: "501" if request.kind in ("PUT", "POST") else None
            target = f"{store.scheme}://{connect(endpoint_url=proxy.url)}@{bucket}/lake"
            with pytest.raises(
                AirflowException, match=r"Can't publish .*; it may pass: run the task again"
            ) as caught:
                publish(ROW, {"p": "a"}, target=target)
        assert not isinstance(caught.value, AirflowFailException)
        assert store.objects(bucket) == {}

    def test_a_connection_that_is_not_there_is_named(self, publish, store, bucket):
        with pytest.raises(
            AirflowFailException, match=r"the Airflow connection 'nobody': .*nobody.*isn't defined"
        ):
            publish(ROW, {"p": "a"}, target=f"{store.scheme}://nobody@{bucket}/lake")

    def test_a_connection_that_says_nothing_is_named(self, publish, store, bucket, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_EMPTY", json.dumps({"conn_type": "generic"}))
        with pytest.raises(AirflowException, match="Can't .* with the Airflow connection 'empty'"):
            publish(ROW, {"p": "a"}, target=f"{store.scheme}://empty@{bucket}/lake")

    def test_a_name_that_is_too_long_is_refused_before_any_work(self, publish, store, bucket):
        message = (
            "would take 1025 characters, and Azure"
            if store.scheme == "az"
            else "bytes, and Google takes 1024"
        )
        with pytest.raises(AirflowFailException, match=message):
            publish(ROW, {"p": "é" * 1003})
        assert store.objects(bucket) == {}

    def test_an_upload_that_is_not_what_was_sent_is_told(self, publish, monkeypatch):
        monkeypatch.setattr(other_files, "size", lambda _: 3)
        with pytest.raises(
            AirflowException,
            match=r"has 3 bytes, and \d+ were sent: .*; it may pass",
        ):
            publish(ROW, {"p": "a"})
