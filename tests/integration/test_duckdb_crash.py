"""Writers are killed, partitions are replaced, readers look on."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import time
from pathlib import Path

import duckdb
import pytest

HERE = Path(__file__).parent
PARTITION = {"p": "a"}
# 300,000 rows of one version: three row groups, so that half a file could be seen.
SQL = "SELECT range AS n, $version::INTEGER AS version, hash(range) AS filler FROM range(300000)"
ROWS = 300_000
S3_HOOK = "airflow.providers.amazon.aws.hooks.s3"


@pytest.fixture(scope="module")
def forked():
    """Return a function that runs a script of this directory in a process of its own, quickly started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["airflow_mapping_kit.operators.duckdb", "duckdb", S3_HOOK])
    started = []

    def start(script, **arguments):
        # The server that forks was started before the test set its variables.
        arguments["environment"] = {n: value for n, value in os.environ.items() if n.startswith("AIRFLOW_")}
        process = context.Process(
            target=runpy.run_path,
            args=(str(HERE / script),),
            kwargs={"init_globals": {"ARGUMENTS": arguments}},
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def until(condition, process=None, seconds=120.0):
    """Poll for a condition; false if the process ended before it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and not process.is_alive():
            return condition()
        assert time.monotonic() < deadline, "waited too long"
    return True


def stored(glob, *settings):
    with duckdb.connect() as connection:
        for statement in settings:
            connection.execute(statement)
        return connection.execute(f"SELECT count(*), min(version), max(version) FROM '{glob}'").fetchone()


class TestLocal:
    @pytest.fixture
    def lake(self, tmp_path):
        (tmp_path / "lake").mkdir()
        return tmp_path / "lake"

    def arguments(self, lake, version):
        return {
            "sql": SQL,
            "partition": PARTITION,
            "unused": ["p"],
            "target": str(lake),
            "parameters": {"version": version},
        }

    @pytest.mark.parametrize("moment", ["empty file", "some bytes", "most bytes", "just published"])
    def test_a_writer_killed_at_any_moment_leaves_a_whole_partition_and_a_re_run_leaves_no_stray_file(
        self, forked, lake, moment
    ):
        folder = lake / "p=a"
        final = folder / "data_0.parquet"
        first = forked("partition_writer.py", **self.arguments(lake, 1))
        first.join()
        assert first.exitcode == 0
        size, inode = final.stat().st_size, final.stat().st_ino
        (folder / "foreign.parquet").write_bytes(final.read_bytes())

        def temporary_size():
            with contextlib.suppress(FileNotFoundError):
                return max((path.stat().st_size for path in folder.glob(".*.tmp")), default=-1)
            return -1

        reached = {
            "empty file": lambda: temporary_size() >= 0,
            "some bytes": lambda: temporary_size() > 0,
            "most bytes": lambda: temporary_size() > size / 2,
            "just published": lambda: final.stat().st_ino != inode,
        }[moment]
        writer = forked("partition_writer.py", **self.arguments(lake, 2))
        assert until(reached, writer)
        writer.kill()
        writer.join()
        version = 1 if final.stat().st_ino == inode else 2
        assert stored(final) == (ROWS, version, version)
        again = forked("partition_writer.py", **self.arguments(lake, 2))
        again.join()
        assert again.exitcode == 0
        assert stored(f"{folder}/*.parquet") == (ROWS, 2, 2)
        assert [str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file()] == [
            "p=a/data_0.parquet"
        ]

    def test_concurrent_writers_of_one_partition_leave_one_of_their_files_whole(self, forked, lake):
        writers = [forked("partition_writer.py", **self.arguments(lake, version)) for version in range(5)]
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers] == [0] * 5
        rows, lowest, highest = stored(f"{lake}/**/*.parquet")
        assert (rows, lowest) == (ROWS, highest)
        assert os.listdir(lake / "p=a") == ["data_0.parquet"]

    def test_a_reader_never_sees_half_a_partition_while_writers_replace_it_and_are_killed(
        self, forked, lake, tmp_path
    ):
        def write(partition, version):
            return forked(
                "partition_writer.py", **{**self.arguments(lake, version), "partition": {"p": partition}}
            )

        seen = watched(forked, write, f"{lake}/p=*/*.parquet", [], tmp_path, rounds=9)
        assert seen["broken"] == []
        assert len(seen["versions"]) >= 3
        assert stored(f"{lake}/p=*/*.parquet") == (2 * ROWS, 99, 99)
        assert sorted(os.listdir(lake / "p=a")) == sorted(os.listdir(lake / "p=b")) == ["data_0.parquet"]


class TestTable:
    @pytest.mark.parametrize("moment", ["empty file", "some bytes", "most bytes", "whole file"])
    def test_a_stager_killed_at_any_moment_leaves_what_its_next_try_does_not_touch(
        self, forked, tmp_path, moment
    ):
        arguments = {
            "sql": SQL,
            "partition": PARTITION,
            "parameters": {"version": 1},
            "target": {
                "mapping_kit_table": "delta",
                "name": "flights",
                "location": str(tmp_path),
                "columns": [
                    {"name": name, "type": kind}
                    for name, kind in {
                        "p": "VARCHAR",
                        "n": "BIGINT",
                        "version": "INTEGER",
                        "filler": "UBIGINT",
                    }.items()
                ],
            },
            "unused": ["p"],
        }

        def files():
            return [path for path in tmp_path.rglob("*") if path.is_file()]

        def size():
            return sum(path.stat().st_size for path in files())

        forked("partition_writer.py", **arguments).join()
        (first,), whole = files(), size()
        reached = {
            "empty file": lambda: len(files()) > 1,
            "some bytes": lambda: size() > whole,
            "most bytes": lambda: size() > whole * 1.5,
            "whole file": lambda: size() >= whole * 2,
        }[moment]
        writer = forked("partition_writer.py", **arguments)
        assert until(reached, writer)
        writer.kill()
        writer.join()
        left = {path: path.stat().st_size for path in files()}
        again = forked("partition_writer.py", **arguments)
        again.join()
        assert again.exitcode == 0
        (last,) = set(files()) - left.keys()
        assert stored(first) == stored(last) == (ROWS, 1, 1)
        assert {path: path.stat().st_size for path in left} == left


class TestS3:
    @pytest.fixture
    def settings(self, s3_server):
        import duckdb_extensions

        duckdb_extensions.import_extension("httpfs")
        host = s3_server.removeprefix("http://")
        return [
            "LOAD httpfs",
            f"CREATE SECRET (TYPE s3, KEY_ID 'k', SECRET 's', REGION 'eu-west-1', ENDPOINT '{host}', "
            f"USE_SSL false, URL_STYLE 'path')",
        ]

    def arguments(self, bucket, s3_conn, version, partition="a"):
        return {
            "sql": SQL,
            "partition": {"p": partition},
            "unused": ["p"],
            "target": f"s3://{bucket}/lake",
            "aws_conn_id": s3_conn,
            "parameters": {"version": version},
        }

    @pytest.mark.parametrize("moment", ["staged", "just published"])
    def test_a_writer_killed_at_any_moment_leaves_a_whole_partition_and_a_re_run_leaves_no_stray_object(
        self, forked, s3_client, s3_bucket, s3_conn, settings, tmp_path, monkeypatch, moment
    ):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__SCRATCH_FOLDER", str(tmp_path))
        name = "lake/p=a/data_0.parquet"

        def write(version):
            return forked("partition_writer.py", **self.arguments(s3_bucket, s3_conn, version))

        first = write(1)
        first.join()
        assert first.exitcode == 0
        before = s3_client.head_object(Bucket=s3_bucket, Key=name)
        s3_client.put_object(Bucket=s3_bucket, Key="lake/p=a/foreign.parquet", Body=b"old")
        reached = {
            "staged": lambda: any(path.stat().st_size > 100_000 for path in tmp_path.glob(".*.d/.*.tmp")),
            "just published": lambda: s3_client.head_object(Bucket=s3_bucket, Key=name)["ETag"]
            != before["ETag"],
        }[moment]
        writer = write(2)
        assert until(reached, writer)
        writer.kill()
        writer.join()
        version = 1 if s3_client.head_object(Bucket=s3_bucket, Key=name)["ETag"] == before["ETag"] else 2
        assert stored(f"s3://{s3_bucket}/{name}", *settings) == (ROWS, version, version)
        again = write(2)
        again.join()
        assert again.exitcode == 0
        assert stored(f"s3://{s3_bucket}/lake/**/*.parquet", *settings) == (ROWS, 2, 2)
        assert [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]] == [name]
        assert os.listdir(tmp_path) == []

    def test_a_reader_never_sees_half_a_partition_while_writers_replace_it_and_are_killed(
        self, forked, s3_bucket, s3_conn, settings, tmp_path
    ):
        with duckdb.connect() as connection:
            connection.execute("LOAD httpfs")
            known = connection.execute(
                "SELECT 1 FROM duckdb_settings() WHERE name = 'unsafe_disable_etag_checks'"
            )
            if not known.fetchone():
                pytest.skip("this DuckDB, as a reader, doesn't hold to an object's ETag between two requests")

        def write(partition, version):
            arguments = self.arguments(s3_bucket, s3_conn, version, partition)
            return forked("partition_writer.py", **arguments)

        seen = watched(forked, write, f"s3://{s3_bucket}/lake/p=*/*.parquet", settings, tmp_path, rounds=3)
        assert seen["broken"] == []
        assert len(seen["versions"]) >= 3
        assert stored(f"s3://{s3_bucket}/lake/p=*/*.parquet", *settings) == (2 * ROWS, 99, 99)


def watched(forked, write, glob, settings, tmp_path, rounds):
    """Replace two partitions again and again, kill a third of the writers, and return what a reader saw."""
    for partition in "ab":
        write(partition, 0).join()
    stop, result = tmp_path / "stop", tmp_path / "result.json"
    reader = forked(
        "lake_reader.py",
        glob=glob,
        settings=settings,
        whole=ROWS,
        partitions=2,
        stop=str(stop),
        result=str(result),
    )
    for version in range(1, rounds + 1):
        writers = [write("a", version), write("b", version), write("ab"[version % 2], version + 20)]
        # Wherever it is by then: later by a tenth of the first writer's time in each round.
        writers[0].join(timeout=0.1 * version)
        writers[2].kill()
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers[:2]] == [0, 0]
    for partition in "ab":
        last = write(partition, 99)
        last.join()
        assert last.exitcode == 0
    stop.touch()
    reader.join()
    return json.loads(result.read_text())
