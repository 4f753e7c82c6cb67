"""What was published is found again: on disk, and on a real S3 server."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pendulum
import pytest

from airflow_mapping_kit.exceptions import PartitionError, StorageError, TargetError
from airflow_mapping_kit.generators import lake_partitions, product, s3_partitions, sql_rows, without
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.partitions import partition_key
from airflow_mapping_kit.partitions import product as every_combination
from airflow_mapping_kit.partitions import without as pure_without
from airflows import DAG, dag, task
from instances import INSTANCE

# What a scheme of a hundred days and a hundred customers has.
SCHEME = every_combination(
    date=[pendulum.date(2013, 1, 1).add(days=day).isoformat() for day in range(100)], customer=range(100)
)
STRANGE = [
    "a/b",
    "50%",
    "é",
    "日本",
    "NULL",
    "null",
    "*",
    "a=b",
    "..",
    " ",
    "'",
    "1",
    "01",
    "true",
    "%2F",
    None,
]


def published(target, partitions, **arguments):
    """Publish partitions by the operator itself."""
    with DAG("lake", schedule=None):
        operator = DuckDBPartitionOperator(
            task_id="load",
            sql="SELECT 1 AS value",
            partition=partitions,
            target=str(target),
            unused=["p", "n", "date", "origin"],
            **arguments,
        )
    operator.execute({"ti": INSTANCE, "task": operator})


def listed(target, **arguments):
    return lake_partitions.function(str(target), **arguments)


def put(folder, directory, name="data_0.parquet", data=b"PAR1"):
    """Write a file as somebody else might, or as an operator has, whose files are whole when they have their name."""
    (folder / directory).mkdir(parents=True, exist_ok=True)
    (folder / directory / name).write_bytes(data)


@pytest.fixture
def as_somebody_else():
    """Run a test as a user who may not read everything."""
    mine = os.geteuid()
    if mine != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestOnDisk:
    def test_what_was_published_is_there_with_its_values(self, tmp_path):
        partitions = [{"p": value, "n": n} for n, value in enumerate(STRANGE)]
        published(tmp_path / "lake", partitions)
        found = listed(tmp_path / "lake")
        assert found == sorted(({"n": str(one["n"]), "p": one["p"]} for one in partitions), key=partition_key)
        assert pure_without(partitions, found) == []

    def test_the_order_of_the_directories_means_nothing(self, tmp_path):
        published(tmp_path, [{"origin": "EWR", "date": "d1"}], partition_by=["origin", "date"])
        published(tmp_path, [{"origin": "JFK", "date": "d1"}])
        assert listed(f"{tmp_path}/") == [{"date": "d1", "origin": "EWR"}, {"date": "d1", "origin": "JFK"}]

    def test_a_lake_that_does_not_exist_yet_has_none(self, tmp_path):
        assert listed(tmp_path / "no" / "lake") == []

    def test_only_what_is_whole_counts(self, tmp_path):
        put(tmp_path, "p=whole")
        put(tmp_path, "p=empty-file", data=b"")
        put(tmp_path, "p=others", "part-0.parquet")
        put(tmp_path, "p=staged", ".mapping-kit-1f.tmp")
        put(tmp_path, "p=staged/.mapping-kit-1f.d/p=x")
        put(tmp_path, "p=a:b")
        put(tmp_path, "p=*8cf3ebbdacdd")
        put(tmp_path, "p=%zz")
        put(tmp_path, "p=%2f")
        put(tmp_path, "other_table/p=2")
        put(tmp_path, "p=twice/p=2")
        put(tmp_path, ".")
        (tmp_path / "p=nothing").mkdir()
        (tmp_path / "p=file").write_bytes(b"x")
        (tmp_path / "p=folder" / "data_0.parquet").mkdir(parents=True)
        (tmp_path / os.fsdecode(b"p=\xff")).mkdir()
        assert listed(tmp_path) == [{"p": "whole"}]

    def test_a_link_to_another_disk_is_followed_and_one_to_itself_ends(self, tmp_path):
        put(tmp_path / "other", "date=d1")
        lake = tmp_path / "lake"
        lake.mkdir()
        (lake / "origin=EWR").symlink_to(tmp_path / "other")
        (lake / "origin=JFK").symlink_to(lake)
        assert listed(lake) == [{"date": "d1", "origin": "EWR"}]

    def test_tables_of_other_dimensions_are_an_error_or_left_out(self, tmp_path):
        put(tmp_path, "date=d1")
        put(tmp_path, "date=d1/origin=EWR")
        with pytest.raises(PartitionError, match=r"'date=d1'.*different dimensions.*dimensions=\["):
            listed(tmp_path)
        assert listed(tmp_path, dimensions=["date"]) == [{"date": "d1"}]
        assert listed(tmp_path, dimensions=("origin", "date")) == [{"date": "d1", "origin": "EWR"}]

    def test_what_may_not_be_read_is_no_empty_lake(self, as_somebody_else):
        with tempfile.TemporaryDirectory() as folder:
            put(Path(folder), "date=d1/origin=EWR")
            put(Path(folder), "date=d2/origin=EWR")
            closed = Path(folder) / "date=d2"
            closed.chmod(0)
            try:
                with pytest.raises(TargetError, match=r"can't list '.*date=d2': Permission denied"):
                    listed(folder)
            finally:
                closed.chmod(0o700)

    def test_a_file_is_no_lake(self, tmp_path):
        (tmp_path / "lake").write_bytes(b"")
        with pytest.raises(TargetError, match="Not a directory"):
            listed(tmp_path / "lake")

    def test_of_ten_thousand_exactly_those_are_missing_that_were_deleted(self, tmp_path):
        # The same file under all names: what is in it is no matter here.
        put(tmp_path, ".")
        for partition in SCHEME:
            folder = tmp_path / "lake" / partition_key(partition)
            folder.mkdir(parents=True)
            (folder / "data_0.parquet").hardlink_to(tmp_path / "data_0.parquet")
        for seed in range(20):
            chance = random.Random(seed)
            deleted = sorted(chance.sample(range(len(SCHEME)), 100))
            for index in deleted:
                path = tmp_path / "lake" / partition_key(SCHEME[index]) / "data_0.parquet"
                # As a person deletes one, or what is in it.
                chance.choice([path.unlink, lambda path=path: shutil.rmtree(path.parent)])()
            missing = pure_without(SCHEME, listed(tmp_path / "lake"))
            assert missing == [SCHEME[index] for index in deleted], seed
            for index in deleted:
                folder = tmp_path / "lake" / partition_key(SCHEME[index])
                folder.mkdir(exist_ok=True)
                (folder / "data_0.parquet").hardlink_to(tmp_path / "data_0.parquet")


class TestOnS3:
    @pytest.fixture
    def store(self, s3_client, s3_bucket):
        def store(key, data=b"PAR1"):
            s3_client.put_object(Bucket=s3_bucket, Key=key, Body=data)

        return store

    @pytest.mark.parametrize("prefix", ["", "/", "/flights", "/flights/", "/a/b"])
    def test_what_was_published_is_there_below_any_prefix(self, s3_bucket, s3_conn, prefix):
        target = f"s3://{s3_bucket}{prefix}"
        partitions = [{"p": value, "n": n} for n, value in enumerate(STRANGE)]
        published(target, partitions, aws_conn_id=s3_conn)
        assert pure_without(partitions, listed(target, aws_conn_id=s3_conn)) == []
        assert len(listed(target, aws_conn_id=s3_conn)) == len(STRANGE)

    def test_who_publishes_and_who_lists_take_airflows_own_connection_where_none_is_named(
        self, s3_bucket, s3_conn, monkeypatch
    ):
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", os.environ[f"AIRFLOW_CONN_{s3_conn.upper()}"])
        target = f"s3://{s3_bucket}/lake"
        published(target, [{"p": "a"}])
        assert listed(target) == [{"p": "a"}]

    def test_a_prefix_is_a_directory(self, s3_bucket, s3_conn, store):
        store("flights/p=1/data_0.parquet")
        store("flights_old/p=2/data_0.parquet")
        store("flights/delays/p=3/data_0.parquet")
        store("flights/p=4/part-0.parquet")
        store("flights/p=5/", b"")
        store("flights/p=6/data_0.parquet", b"")
        store("flights/p=7/x/data_0.parquet")
        store("flights//p=8/data_0.parquet")
        store("flights/data_0.parquet")
        store("flights/_temporary/p=9/data_0.parquet")
        assert listed(f"s3://{s3_bucket}/flights", aws_conn_id=s3_conn) == [{"p": "1"}]

    def test_what_was_deleted_is_not_there_though_its_versions_are(
        self, s3_client, s3_bucket, s3_conn, store
    ):
        s3_client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
        store("p=1/data_0.parquet")
        store("p=2/data_0.parquet")
        store("p=2/data_0.parquet")
        s3_client.delete_object(Bucket=s3_bucket, Key="p=1/data_0.parquet")
        assert listed(f"s3://{s3_bucket}", aws_conn_id=s3_conn) == [{"p": "2"}]

    def test_of_many_pages_exactly_those_are_missing_that_were_deleted(
        self, s3_client, s3_bucket, s3_conn, store
    ):
        scheme = SCHEME[:1_100]  # two pages
        keys = [f"lake/{partition_key(partition)}/data_0.parquet" for partition in scheme]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(store, keys))
        gone = set()
        for seed in range(3):
            gone |= set(random.Random(seed).sample(range(len(scheme)), 11))
            names = [{"Key": keys[index]} for index in gone]
            s3_client.delete_objects(Bucket=s3_bucket, Delete={"Objects": names})
            found = listed(f"s3://{s3_bucket}/lake", aws_conn_id=s3_conn)
            assert pure_without(scheme, found) == [scheme[index] for index in sorted(gone)]

    def test_a_prefix_without_objects_has_none_and_a_bucket_that_is_not_there_is_an_error(
        self, s3_bucket, s3_conn
    ):
        assert listed(f"s3://{s3_bucket}/nothing", aws_conn_id=s3_conn) == []
        with pytest.raises(StorageError, match="NoSuchBucket"):
            listed(f"s3://no{s3_bucket}/flights", aws_conn_id=s3_conn)


class TestInADag:
    @staticmethod
    def run(build, dag_test):
        loaded = []

        @task
        def load(partition):
            loaded.append(partition)

        @dag(dag_id=f"l{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
        def built():
            load.expand(partition=build())

        instances = dag_test(built())
        # Instances that are ready at once run in any order.
        return sorted(loaded, key=str), {task_id: one.state for (task_id, _), one in instances.items()}

    def test_what_is_missing_is_loaded(self, tmp_path, dag_test):
        put(tmp_path, "date=2013-01-01/origin=EWR")
        target = "{{ '" + str(tmp_path) + "' }}"
        loaded, _ = self.run(
            lambda: without(
                product(origin=["EWR", "JFK"], date=["2013-01-01"]),
                lake_partitions(target, aws_conn_id="{{ '' }}"),
            ),
            dag_test,
        )
        assert loaded == [{"origin": "JFK", "date": "2013-01-01"}]

    def test_where_nothing_is_there_all_is_loaded(self, tmp_path, dag_test):
        loaded, states = self.run(
            lambda: without(product(p=["a", "b"]), lake_partitions(f"{tmp_path}/no")), dag_test
        )
        assert loaded == [{"p": "a"}, {"p": "b"}]
        assert states["lake_partitions"] == "success"

    def test_so_it_is_with_an_empty_bucket_and_a_query_without_rows(
        self, s3_bucket, s3_conn, dag_test, monkeypatch
    ):
        monkeypatch.setenv("AIRFLOW_CONN_DB", "sqlite:///:memory:")

        def build():
            after_s3 = without(product(p=["a"]), s3_partitions(s3_bucket, "lake", aws_conn_id=s3_conn))
            return without(after_s3, sql_rows("db", "SELECT 'x' AS p WHERE 1 = 0"))

        loaded, _ = self.run(build, dag_test)
        assert loaded == [{"p": "a"}]

    def test_where_nothing_is_missing_nothing_runs(self, tmp_path, dag_test):
        put(tmp_path, "p=a")
        loaded, states = self.run(lambda: without(product(p=["a"]), lake_partitions(str(tmp_path))), dag_test)
        assert loaded == []
        assert states == {
            "product": "success",
            "lake_partitions": "success",
            "without": "skipped",
            "load": "skipped",
        }

    def test_several_lakes_are_there_together(self, tmp_path, dag_test):
        put(tmp_path / "one", "p=a")
        put(tmp_path / "two", "p=b")

        def build():
            targets = [str(tmp_path / name) for name in ("one", "two", "three")]
            return without(product(p=["a", "b", "c"]), lake_partitions.expand(target=targets))

        loaded, _ = self.run(build, dag_test)
        assert loaded == [{"p": "c"}]

    def test_what_no_lake_can_be_is_refused_when_the_dag_is_parsed(self):
        with DAG("d", schedule=None):
            for target in (
                "",
                "hdfs://lake",
                "s3://",
                "gs://",
                "abfss://lake@account.dfs.core.windows.net/x",
            ):
                with pytest.raises(TargetError):
                    lake_partitions(target)
            with pytest.raises(PartitionError, match="names none"):
                lake_partitions("lake", dimensions=[])
            with pytest.raises(PartitionError, match="dimensions"):
                without([{"a": 1}], ["b=1"])
