"""Files in Google's and Azure's object storage: there as a whole or not at all."""

from __future__ import annotations

import gc
import random
import signal
import subprocess
import sys
import threading

import pytest

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage import azure_blobs, file_systems, files
from fault_proxy import fault_proxy

pytestmark = pytest.mark.system

KIB = 2**10


def write(uri, data):
    with files.whole(uri) as file:
        file.write(data)


def test_a_file_is_read_as_it_was_written_and_replaced_as_a_whole(place):
    uri = f"{place}/a:b+c.jsonl"
    write(uri, b"old")
    with files.whole(uri) as file:
        file.write(b"0123")
        file.write(b"456789")
        assert files.read_range(uri, 0, 100) == b"old"
    assert files.read_range(uri, 0, 100) == b"0123456789"
    assert [files.read_range(uri, *at) for at in [(2, 5), (5, 5), (8, 99), (10, 11)]] == [
        b"234",
        b"",
        b"89",
        b"",
    ]
    with pytest.raises(FileNotFoundError):
        files.read_range(f"{place}/none", 0, 1)


@pytest.mark.parametrize("size", [0, 1, 256 * KIB, 256 * KIB + 1, 16 * 2**20, 16 * 2**20 + 1, 40 * 2**20 - 3])
def test_a_file_of_any_size_is_whole(place, size):
    data = random.Random(size).randbytes(size)
    with files.whole(f"{place}/x") as file:
        for start in range(0, size, 4_000_001):
            file.write(data[start : start + 4_000_001])
    assert files.read_range(f"{place}/x", 0, 2**30) == data


def test_what_a_request_is_divided_by_may_be_in_the_data(place):
    write(f"{place}/x", data := b"a\n--==0==\nContent-Type: a\n\nb\r\n--==0==--\r\n")
    assert files.read_range(f"{place}/x", 0, 1000) == data


def test_what_is_in_a_folder_is_listed_and_deleted(place, store, bucket):
    assert files.listed(place) == []
    assert files.sizes(place) == {}
    for name in ("b.jsonl", "a.jsonl", "below/c.jsonl"):
        write(f"{place}/{name}", b"1")
    assert files.listed(place) == [f"{place}/a.jsonl", f"{place}/b.jsonl"]
    assert files.sizes(place) == {f"{place}/{name}": 1 for name in ("a.jsonl", "b.jsonl", "below/c.jsonl")}
    # Some find what begins as the folder's name does.
    assert files.sizes(place.rstrip("ü")[:-3]) == {}
    for name in ("*.jsonl", "[a].jsonl"):
        store.put(bucket, f"a folder/ü/{name}", b"1")
    files.delete(f"{place}/*.jsonl", f"{place}/[a].jsonl", f"{place}/never.jsonl")
    assert files.listed(place) == [f"{place}/a.jsonl", f"{place}/b.jsonl"]


@pytest.mark.parametrize("size", [3, 300 * KIB, 20 * 2**20])
def test_what_goes_wrong_while_it_is_written_leaves_nothing_and_what_was_there(place, size):
    uri = f"{place}/plan.jsonl"

    def fails():
        with files.whole(uri) as file:
            file.write(b"x" * size)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    # What a file system opened is closed when it is forgotten.
    gc.collect()
    assert files.listed(place) == []
    write(uri, b"old")
    with pytest.raises(RuntimeError):
        fails()
    gc.collect()
    assert files.read_range(uri, 0, 9) == b"old"


_KILLED = """
import os, signal, sys
from airflow_mapping_kit.storage import files
with files.whole(sys.argv[1]) as file:
    file.write(b"1" * 20_000_000)
    file.write(b"2" * 20_000_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_no_file(place):
    uri = f"{place}/plan-1.jsonl"
    assert subprocess.run([sys.executable, "-c", _KILLED, uri], check=False).returncode == -signal.SIGKILL
    assert files.listed(place) == []
    write(uri, b"1")
    assert files.listed(place) == [uri]


def test_of_two_who_write_one_file_at_once_it_is_that_of_one(place, monkeypatch):
    monkeypatch.setattr(azure_blobs, "_BLOCK", 256 * KIB)
    uri, outcomes = f"{place}/x", []
    both = threading.Barrier(2)

    def run(data):
        try:
            with files.whole(uri) as file:
                for start in range(0, len(data), 300 * KIB):
                    file.write(data[start : start + 300 * KIB])
                    both.wait(20)
            outcomes.append("written")
        except AirflowException as error:
            outcomes.append(str(error))

    contents = [letter * 1_500_000 for letter in (b"a", b"b")]
    for _ in range(3):
        threads = [threading.Thread(target=run, args=(data,)) for data in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert files.read_range(uri, 0, 2**22) in contents
    assert outcomes.count("written") >= 3
    assert all("it may pass: run the task again" in one for one in outcomes if one != "written")


def test_credentials_last_longer_than_a_token(store, connect, bucket, monkeypatch):
    if store.scheme == "az":
        pytest.skip("its file system renews them by itself")
    with fault_proxy(store.endpoint_url) as proxy:
        uri = f"{store.scheme}://{connect(endpoint_url=proxy.url)}@{bucket}/x"
        write(uri, b"1")
        write(uri, b"2")
        first = {request.headers["authorization"] for request in proxy.requests}
        proxy.reset()
        now = file_systems.time.monotonic()
        monkeypatch.setattr(file_systems.time, "monotonic", lambda: now + 1300)
        write(uri, b"3")
        later = {request.headers["authorization"] for request in proxy.requests}
    assert len(first) == len(later) == 1
    assert first != later
    assert files.read_range(uri.replace(uri.split("@")[0], f"{store.scheme}://{connect()}"), 0, 9) == b"3"


def test_a_scheme_without_a_file_system_is_named():
    with pytest.raises(
        StorageError, match=r"Can't log in to hdfs://lake/x .*No filesystem .*check the scheme"
    ):
        write("hdfs://lake/x", b"1")
