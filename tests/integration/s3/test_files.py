"""Files on this machine, in S3 through boto3, and through a file system that Airflow finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage import files, local_files, other_files, s3_files


@pytest.fixture(params=["local", "s3", "file system"])
def place(request, tmp_path, monkeypatch):
    """Return the URI of a folder."""
    s3_files._client.cache_clear()  # the connection is another one in each test
    if request.param == "local":
        return f"file://{tmp_path}/new/folder"
    if request.param == "file system":
        monkeypatch.setattr(files, "_kind", lambda _: other_files)
    bucket = request.getfixturevalue("s3_bucket")
    return f"s3://{request.getfixturevalue('s3_conn')}@{bucket}/a folder/ü"


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
    assert [files.read_range(uri, *at) for at in [(2, 5), (9, 10), (5, 5), (8, 99), (10, 11), (99, 100)]] == [
        b"234",
        b"9",
        b"",
        b"89",
        b"",
        b"",
    ]


def test_the_sizes_of_all_files_below_a_folder_are_known_by_a_listing(place):
    assert files.sizes(f"{place}/nowhere") == {}
    write(f"{place}/a.jsonl", b"four")
    write(f"{place}/3.0/b:c.jsonl", b"")
    write(f"{place}/3.0/deeper/d.jsonl", b"seven77")
    assert files.sizes(f"{place}/") == {
        f"{place}/a.jsonl": 4,
        f"{place}/3.0/b:c.jsonl": 0,
        f"{place}/3.0/deeper/d.jsonl": 7,
    }
    assert list(files.sizes(f"{place}/3.0").values()) == [0, 7]


@pytest.mark.parametrize("size", [3, 20 * 2**20])
def test_what_goes_wrong_while_it_is_written_leaves_nothing_and_what_was_there(place, size):
    uri = f"{place}/plan.jsonl"

    def fails(uri):
        with files.whole(uri) as file:
            file.write(b"x" * size)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails(uri)
    assert files.listed(place) == []
    with pytest.raises(FileNotFoundError):
        files.read_range(uri, 0, 1)
    write(uri, b"old")
    with pytest.raises(RuntimeError):
        fails(uri)
    assert files.read_range(uri, 0, 9) == b"old"


def test_only_a_newline_ends_a_line_and_blocks_end_anywhere(place, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 7)
    lines = [b"", b"a\r", "\u2028é\x85".encode(), b"x" * 30, b"1234567", b"last"]
    uri = f"{place}/lines.jsonl"
    write(uri, b"\n".join(lines))
    assert list(files.lines(uri)) == lines
    assert list(files.lines(uri, 1, 7)) == [b"a\r", b"\xe2\x80\xa8"]
    write(uri, b"1\n2\n")
    assert list(files.lines(uri)) == [b"1", b"2"]
    write(uri, b"")
    assert list(files.lines(uri)) == []


def test_what_lies_in_a_folder_is_listed_and_deleted(place):
    assert files.listed(place) == []
    for name in ("b.jsonl", "a.jsonl", "below/c.jsonl"):
        write(f"{place}/{name}", b"1")
    assert files.listed(place) == [f"{place}/a.jsonl", f"{place}/b.jsonl"]
    files.delete(f"{place}/a.jsonl", f"{place}/a.jsonl", f"{place}/never.jsonl")
    files.delete()
    assert files.listed(place) == [f"{place}/b.jsonl"]


def test_an_object_of_many_parts_is_whole(s3_conn, s3_bucket, monkeypatch):
    # Parts of 5 MiB are the least that S3 takes, and grow after two of a size.
    monkeypatch.setattr(s3_files, "_PART", 5 * 2**20)
    monkeypatch.setattr(s3_files, "_PARTS_OF_A_SIZE", 2)
    uri = f"s3://{s3_conn}@{s3_bucket}/large"
    block = os.urandom(1_000_003)
    with files.whole(uri) as file:
        for _ in range(28):
            file.write(block)
    assert files.read_range(uri, 0, 10**9) == block * 28


def test_what_writers_left_that_were_killed_can_be_deleted(s3_conn, s3_bucket, s3_client, tmp_path):
    for name in (".plan-1.jsonl.abc.unfinished", ".other.jsonl.abc.unfinished"):
        (tmp_path / name).write_text("half")
    assert local_files.listed(str(tmp_path)) == []
    files.forget_unfinished(str(tmp_path), "plan-1.jsonl".__eq__)
    assert [one.name for one in tmp_path.iterdir()] == [".other.jsonl.abc.unfinished"]
    files.forget_unfinished(f"{tmp_path}/none", "plan-1.jsonl".__eq__)

    for key in ("kit/plan-1.jsonl", "kit/other.jsonl", "kit/below/plan-1.jsonl"):
        s3_client.create_multipart_upload(Bucket=s3_bucket, Key=key)
    files.forget_unfinished(f"s3://{s3_conn}@{s3_bucket}/kit", "plan-1.jsonl".__eq__)
    uploads = s3_client.list_multipart_uploads(Bucket=s3_bucket)["Uploads"]
    assert sorted(one["Key"] for one in uploads) == ["kit/below/plan-1.jsonl", "kit/other.jsonl"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3:///key", r"'s3:///key' names no bucket: write s3://connection@bucket/prefix"),
        (
            "s3://{s3_conn}@nowhere-at-all/key",
            r"S3 refused to write s3://nowhere-at-all/key .*check the bucket",
        ),
        ("nosuch://place/key", r"Can't log in to nosuch://place/key .*check the scheme"),
        ("/dev/null/key", r"can't write '/dev/null/key': .*. Check \[mapping_kit\] storage"),
    ],
)
def test_a_place_that_cannot_be_written_to_says_so(uri, message, s3_conn):
    with pytest.raises(StorageError, match=message):
        write(uri.format(s3_conn=s3_conn), b"1")


def test_the_connection_is_that_before_the_at_sign(s3_bucket, s3_server, monkeypatch):
    s3_files._client.cache_clear()
    connection = {
        "conn_type": "aws",
        "login": "AKIAQUAGGA8",
        "password": "zyzzyva/dodo",
        "extra": {"endpoint_url": s3_server},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    write(f"s3://other@{s3_bucket}/key", b"1")
    assert files.listed(f"s3://other@{s3_bucket}") == [f"s3://other@{s3_bucket}/key"]


_KILLED = """
import os, signal, sys
from airflow_mapping_kit.storage import files
with files.whole(sys.argv[1]) as file:
    file.write(b"1" * 9_000_000)
    file.write(b"2" * 9_000_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_no_file(place):
    uri = f"{place}/plan-1.jsonl"
    assert subprocess.run([sys.executable, "-c", _KILLED, uri], check=False).returncode == -signal.SIGKILL
    assert files.listed(place) == []
    with pytest.raises(FileNotFoundError):
        files.read_range(uri, 0, 1)
    files.forget_unfinished(place, "plan-1.jsonl".__eq__)
    write(uri, b"1")
    assert files.listed(place) == [uri]


def test_of_many_who_make_a_file_one_alone_is_told_that_it_did(place):
    uri = f"{place}/1.json"
    assert files.tells_the_first(uri)
    if files._kind(uri) is other_files:
        with pytest.raises(StorageError, match="only a folder and S3 can tell"):
            files.created(uri, b"0")
        return
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: files.created(uri, b"%d" % number), range(8)))
    assert sum(made) == 1
    assert files.read_range(uri, 0, 9) == b"%d" % made.index(True)
    assert not files.created(uri, b"later")
    assert files.listed(place) == [uri]
