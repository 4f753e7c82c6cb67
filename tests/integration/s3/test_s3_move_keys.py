"""S3MoveKeysOperator against a server: what is moved, what is left alone, what a fault can't lose."""

from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator, copies
from airflow_mapping_kit.operators.s3.mover import Mover
from airflow_mapping_kit.operators.s3.plan import Move

MIB = 1024 * 1024
KEYS = ["landing/a.csv", "landing/b.csv", "landing/c.csv"]
ODD_KEYS = [
    "with space/and 'quotes' \"both\"",
    "plus+percent%2F&?#=;:@",
    "é/日本語/🛬",
    "{{ x }}/{% raw %}",
    "/leading/slash",
    "a//b",
    "../up/./here",
    "tab\tand\rreturn",
    "day1/x",
    "day10/x",
    "folder/",
    "ends in dot.",
]


def move(bucket, keys, **arguments):
    arguments = {
        "source_bucket": bucket.name,
        "source_prefix": "landing/",
        "dest_prefix": "processed/",
        "aws_conn_id": "s3",
        **arguments,
    }
    return S3MoveKeysOperator(task_id="move", keys=keys, **arguments).execute({})


def kinds(proxy):
    return [request.kind for request in proxy.requests]


def test_moves_exactly_the_given_keys_and_returns_them_in_their_order(bucket):
    for key in [*KEYS, "landing/late.csv", "landing/a.csv.bak"]:
        bucket.put(key)

    rows = move(bucket, KEYS[::-1])

    assert rows == [
        {"key": key, "moved_to": key.replace("landing", "processed"), "bytes": 13, "status": "moved"}
        for key in KEYS[::-1]
    ]
    assert bucket.contents() == {
        "landing/a.csv.bak": b"landing/a.csv.bak",
        "landing/late.csv": b"landing/late.csv",
        "processed/a.csv": b"landing/a.csv",
        "processed/b.csv": b"landing/b.csv",
        "processed/c.csv": b"landing/c.csv",
    }


def test_moves_only_what_still_holds_what_was_listed(bucket):
    for key in KEYS:
        bucket.put(key)
    etags = {key: bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"].strip('"') for key in KEYS}
    bucket.put(KEYS[1], b"rewritten since")

    with pytest.raises(AirflowFailException, match="rewritten since it was listed") as error:
        move(bucket, KEYS, etags=etags)

    assert KEYS[1] in str(error.value)
    assert bucket.contents() == {
        "landing/b.csv": b"rewritten since",
        "processed/a.csv": b"landing/a.csv",
        "processed/c.csv": b"landing/c.csv",
    }


def test_with_etags_another_object_at_the_destination_is_not_taken_for_the_moved_one(bucket):
    bucket.put("processed/a.csv", b"yesterday's")
    listed = hashlib.md5(b"today's").hexdigest()
    with pytest.raises(AirflowFailException, match="another than was listed"):
        move(bucket, ["landing/a.csv"], etags={"landing/a.csv": listed})
    assert bucket.contents() == {"processed/a.csv": b"yesterday's"}


def test_never_takes_an_object_for_its_own_copy(bucket):
    """As where one bucket's name is an alias of the other."""
    bucket.put("landing/a.csv")
    alias = Move(bucket.name, "landing/a.csv", bucket.name, "landing/a.csv")
    with ThreadPoolExecutor(1) as parts:
        mover = Mover(
            bucket.client,
            bucket.client,
            replace=False,
            etags={},
            parts=parts,
            extra_args={},
            keep_protection=True,
            ended=lambda: False,
        )
        with pytest.raises(StorageError, match="one and the same object"):
            mover.move(alias)
    assert bucket.contents() == {"landing/a.csv": b"landing/a.csv"}


def test_moves_to_another_bucket(bucket, server):
    other = type(bucket)(server)
    bucket.put("landing/a.csv")

    move(bucket, ["landing/a.csv"], dest_bucket=other.name, dest_prefix="")

    assert bucket.keys() == []
    assert other.contents() == {"a.csv": b"landing/a.csv"}


def test_moves_any_key_that_s3_takes(bucket, server):
    longest = "n" * (1024 - len("processed/"))
    # moto's server has no route for a key with a line feed.
    odd = [*ODD_KEYS, longest, *(["line\nfeed"] if server.name == "gateway" else [])]
    expected = {}
    for name in odd:
        bucket.put(f"landing/{name}")
        expected[f"processed/{name}"] = f"landing/{name}".encode()

    move(bucket, [f"landing/{name}" for name in odd])

    assert bucket.contents() == expected


def test_keeps_content_type_metadata_and_tags(bucket):
    bucket.put(
        "landing/a.csv", ContentType="text/csv", Metadata={"origin": "EWR"}, Tagging="team=ops&note=a%20b"
    )

    move(bucket, ["landing/a.csv"])

    head = bucket.head("processed/a.csv")
    assert (head["ContentType"], head["Metadata"]) == ("text/csv", {"origin": "EWR"})
    assert bucket.tags("processed/a.csv") == {"team": "ops", "note": "a b"}


def test_an_object_uploaded_in_parts_keeps_its_bytes_etag_metadata_and_tags(bucket, proxy):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"the end"]
    bucket.put_in_parts("landing/large", parts, ContentType="text/csv", Metadata={"origin": "EWR"})
    bucket.tag("landing/large", "team", "ops")
    etag = bucket.head("landing/large")["ETag"]

    rows = move(bucket, ["landing/large"])

    assert rows[0]["bytes"] == sum(map(len, parts))
    assert bucket.keys() == ["processed/large"]
    assert bucket.get("processed/large") == b"".join(parts)
    head = bucket.head("processed/large")
    assert (head["ETag"], head["ContentType"], head["Metadata"]) == (etag, "text/csv", {"origin": "EWR"})
    assert bucket.tags("processed/large") == {"team": "ops"}
    read = [request.path.rpartition("?")[2] for request in proxy.requests if request.kind == "GET"]
    assert all("acl" in query or "tagging" in query for query in read), "no object was read"


def test_an_object_over_the_limit_of_one_copy_goes_in_parts_and_is_compared_by_its_bytes(
    bucket, proxy, monkeypatch
):
    # 5 GiB on S3. The object has one MD5 and its copy one of parts: only reading them tells.
    monkeypatch.setattr(copies, "MAX_COPY_BYTES", 6 * MIB)
    monkeypatch.setattr(copies, "_PART_BYTES", 5 * MIB)
    body = os.urandom(11 * MIB)
    bucket.put("landing/large", body, Metadata={"origin": "EWR"}, Tagging="team=ops")

    move(bucket, ["landing/large"])

    assert bucket.keys() == ["processed/large"]
    assert bucket.get("processed/large") == body
    assert bucket.head("processed/large")["Metadata"] == {"origin": "EWR"}
    assert bucket.tags("processed/large") == {"team": "ops"}
    assert sum(request.kind == "COPY" for request in proxy.requests) == 3


def test_a_copy_in_parts_that_fails_leaves_no_parts_behind(bucket, proxy, connect, monkeypatch):
    monkeypatch.setattr(copies, "MAX_COPY_BYTES", 6 * MIB)
    monkeypatch.setattr(copies, "_PART_BYTES", 5 * MIB)
    bucket.put("landing/large", os.urandom(11 * MIB))
    connect(retries={"total_max_attempts": 1})
    proxy.before = lambda request: "503" if "partNumber=2" in request.path else None

    with pytest.raises(AirflowException, match="landing/large"):
        move(bucket, ["landing/large"])

    assert bucket.keys() == ["landing/large"]
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_an_equal_object_at_the_destination_is_not_copied_again(bucket, proxy):
    bucket.put("landing/a.csv", b"same")
    bucket.put("processed/a.csv", b"same")

    assert move(bucket, ["landing/a.csv"])[0]["status"] == "moved"

    assert bucket.contents() == {"processed/a.csv": b"same"}
    assert "COPY" not in kinds(proxy)


def test_equal_objects_with_etags_of_different_kinds_are_known_as_equal(bucket, proxy):
    parts = [os.urandom(5 * MIB), b"the end"]
    bucket.put_in_parts("landing/large", parts)
    bucket.put("processed/large", b"".join(parts))

    move(bucket, ["landing/large"])

    assert bucket.keys() == ["processed/large"]
    assert "COPY" not in kinds(proxy)


def test_objects_of_one_size_with_etags_of_different_kinds_are_told_apart(bucket):
    parts = [os.urandom(5 * MIB), b"the end"]
    bucket.put_in_parts("landing/large", parts)
    bucket.put("processed/large", parts[0] + b"the END")

    with pytest.raises(AirflowFailException, match="another object has the destination's key"):
        move(bucket, ["landing/large"])

    assert bucket.keys() == ["landing/large", "processed/large"]


def test_another_object_at_the_destination_is_never_overwritten_and_stops_no_other_key(bucket):
    for key in KEYS:
        bucket.put(key)
    bucket.put("processed/b.csv", b"other content")

    with pytest.raises(AirflowFailException, match=r"1 of 3 keys .*'landing/b\.csv'"):
        move(bucket, KEYS)

    assert bucket.contents() == {
        "landing/b.csv": b"landing/b.csv",
        "processed/a.csv": b"landing/a.csv",
        "processed/b.csv": b"other content",
        "processed/c.csv": b"landing/c.csv",
    }


def test_replace_overwrites_another_object_at_the_destination(bucket):
    bucket.put("landing/a.csv", b"new")
    bucket.put("processed/a.csv", b"old")

    move(bucket, ["landing/a.csv"], replace=True)

    assert bucket.contents() == {"processed/a.csv": b"new"}


def test_keys_that_an_earlier_try_moved_are_already_moved(bucket):
    for key in KEYS:
        bucket.put(key)
    move(bucket, KEYS[:2])

    rows = move(bucket, KEYS)

    assert [row["status"] for row in rows] == ["already_moved", "already_moved", "moved"]
    assert bucket.keys() == ["processed/a.csv", "processed/b.csv", "processed/c.csv"]


def test_a_key_that_is_nowhere_is_an_error_and_stops_no_other_key(bucket):
    bucket.put("landing/a.csv")

    with pytest.raises(AirflowFailException, match=r"neither at the source .*'landing/gone\.csv'"):
        move(bucket, ["landing/gone.csv", "landing/a.csv"])

    assert bucket.keys() == ["processed/a.csv"]


def test_no_keys_skip_the_task(bucket):
    with pytest.raises(AirflowSkipException):
        move(bucket, [])


def test_a_missing_bucket_fails_at_once_and_names_the_remedy(bucket):
    bucket.put("landing/a.csv")

    with pytest.raises(
        AirflowFailException, match=r"s3://no-such-bucket/processed/ .*'s3'.*NoSuchBucket.*name"
    ):
        move(bucket, ["landing/a.csv"], dest_bucket="no-such-bucket")

    assert bucket.keys() == ["landing/a.csv"]


def test_versions_only_the_copied_one_is_deleted(bucket, proxy):
    bucket.keep_versions()
    bucket.put("landing/a.csv", b"copied")
    # Written after everything was checked: the last moment there is.
    proxy.before = lambda request: bucket.put("landing/a.csv", b"newer") if request.kind == "DELETE" else None

    move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"landing/a.csv": b"newer", "processed/a.csv": b"copied"}


def test_versions_an_older_one_does_not_come_back(bucket):
    bucket.keep_versions()
    bucket.put("landing/a.csv", b"old")
    bucket.put("landing/a.csv", b"new")

    move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"processed/a.csv": b"new"}
    versions = bucket.client.list_object_versions(Bucket=bucket.name, Prefix="landing/")["Versions"]
    assert len(versions) == 2, "nothing of the history was deleted"


def test_versions_an_object_from_before_they_were_kept_moves_too(bucket):
    bucket.put("landing/a.csv", b"first")
    bucket.keep_versions()

    move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"processed/a.csv": b"first"}


def test_an_object_rewritten_between_copy_and_delete_survives(bucket, proxy):
    bucket.put("landing/a.csv", b"copied")
    proxy.after = lambda request: bucket.put("landing/a.csv", b"newer") if request.kind == "COPY" else None

    with pytest.raises(AirflowException, match=r"landing/a\.csv"):
        move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"landing/a.csv": b"newer", "processed/a.csv": b"copied"}


def test_an_object_rewritten_after_the_last_check_survives_where_the_server_knows_if_match(bucket, proxy):
    # Neither moto nor Ceph 16 checks If-Match on a delete, as AWS does: the proxy does it for them.
    bucket.put("landing/a.csv", b"copied")

    def rewrite_and_compare(request):
        if request.kind != "DELETE":
            return None
        bucket.put("landing/a.csv", b"newer")
        return "412" if request.headers["If-Match"] != bucket.head("landing/a.csv")["ETag"] else None

    proxy.before = rewrite_and_compare

    with pytest.raises(AirflowException, match="rewritten at the source"):
        move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"landing/a.csv": b"newer", "processed/a.csv": b"copied"}


def test_a_server_that_refuses_if_match_on_a_delete_is_asked_without(bucket, proxy):
    for key in KEYS:
        bucket.put(key)
    proxy.before = (
        lambda request: "501" if request.kind == "DELETE" and "If-Match" in request.headers else None
    )

    move(bucket, KEYS, max_workers=1)

    assert bucket.contents() == {key.replace("landing", "processed"): key.encode() for key in KEYS}
    assert kinds(proxy).count("DELETE") == len(KEYS) + 1, "it was refused once"


def test_an_object_rewritten_before_it_is_copied_is_not_deleted(bucket, proxy):
    bucket.put("landing/a.csv", b"listed")
    proxy.before = lambda request: bucket.put("landing/a.csv", b"newer") if request.kind == "COPY" else None

    with pytest.raises(AirflowException, match=r"not deleted.*landing/a\.csv"):
        move(bucket, ["landing/a.csv"])

    assert bucket.get("landing/a.csv") == b"newer"


def test_a_copy_with_other_bytes_is_noticed_and_the_source_stays(bucket, proxy):
    bucket.put("landing/a.csv", b"right")
    proxy.after = lambda request: bucket.put("processed/a.csv", b"wrong") if request.kind == "COPY" else None

    with pytest.raises(AirflowException, match="not deleted"):
        move(bucket, ["landing/a.csv"])

    assert bucket.get("landing/a.csv") == b"right"


@pytest.mark.parametrize("in_parts", [False, True], ids=["", "in parts"])
def test_a_task_that_is_ended_copies_no_other_object_and_deletes_nothing_more(
    bucket, proxy, monkeypatch, in_parts
):
    """As Airflow 3 ends it: `on_kill` is called, and nothing is raised in the task."""
    for key in KEYS:
        bucket.put(key, os.urandom(11 * MIB) if in_parts else None)
    monkeypatch.setattr(copies, "MAX_COPY_BYTES", 6 * MIB)
    monkeypatch.setattr(copies, "_PART_BYTES", 5 * MIB)
    arguments = {"source_bucket": bucket.name, "source_prefix": "landing/", "dest_prefix": "processed/"}
    operator = S3MoveKeysOperator(task_id="move", keys=KEYS, aws_conn_id="s3", max_workers=1, **arguments)
    proxy.after = lambda request: operator.on_kill() if request.kind == "COPY" else None

    with pytest.raises(AirflowException, match="The task was ended") as ended:
        operator.execute({})

    assert not isinstance(ended.value, AirflowFailException), "another try goes on"
    assert kinds(proxy).count("COPY") == 1
    # An upload in parts is given up, which is a DELETE of its own.
    assert [r.path for r in proxy.requests if r.kind == "DELETE" and "uploadId" not in r.path] == []
    assert bucket.keys("landing/") == KEYS
    assert bucket.keys("processed/") == ([] if in_parts else ["processed/a.csv"])
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)

    proxy.reset()
    assert {row["status"] for row in move(bucket, KEYS)} == {"moved"}
    assert bucket.keys() == [key.replace("landing", "processed") for key in KEYS]


@pytest.mark.parametrize("fault", ["503", "reset", "lost answer"])
def test_every_third_request_failing_once_loses_nothing(bucket, proxy, connect, fault):
    connect(retries={"mode": "standard", "total_max_attempts": 8})
    for key in KEYS:
        bucket.put(key)
    proxy.before = lambda request: fault if request.number % 3 == 0 else None

    rows = move(bucket, KEYS, max_workers=1)

    assert {row["status"] for row in rows} <= {"moved", "already_moved"}
    assert len(proxy.requests) > 28, "some were sent again"
    assert bucket.contents() == {key.replace("landing", "processed"): key.encode() for key in KEYS}


def test_a_server_that_gives_up_on_one_key_fails_the_task_and_a_re_run_finishes_it(bucket, proxy, connect):
    connect(retries={"total_max_attempts": 1})
    for key in KEYS:
        bucket.put(key)
    proxy.before = lambda request: "503" if request.kind == "COPY" and "b.csv" in request.path else None

    with pytest.raises(AirflowException, match=r"SlowDown to CopyObject.*'landing/b\.csv'") as failure:
        move(bucket, KEYS)
    assert not isinstance(failure.value, AirflowFailException), "another try may help"
    assert bucket.keys() == ["landing/b.csv", "processed/a.csv", "processed/c.csv"]

    proxy.reset()
    assert [row["status"] for row in move(bucket, KEYS)] == ["already_moved", "moved", "already_moved"]
    assert bucket.contents() == {key.replace("landing", "processed"): key.encode() for key in KEYS}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_request_a_re_run_leaves_each_object_in_exactly_one_place(
    server, bucket, proxy, killable, moment
):
    keys = KEYS[:2]
    arguments = {
        "keys": keys,
        "source_bucket": bucket.name,
        "source_prefix": "landing/",
        "dest_prefix": "processed/",
        "max_workers": 1,
    }
    moved = {key.replace("landing", "processed"): key.encode() for key in keys}
    connection = server.connection(proxy.url)
    killed_at = []
    for number in range(1, 100):
        for key in keys:
            bucket.put(key)
            bucket.client.delete_object(Bucket=bucket.name, Key=key.replace("landing", "processed"))
        proxy.reset()

        def kill(request, number=number):
            if request.number == number:
                killed_at.append(request.kind)
                os.kill(killable.pid, signal.SIGKILL)

        setattr(proxy, moment, kill)
        status = killable.run(connection, arguments)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        left = bucket.contents()
        for key in keys:
            assert key.encode() in (left.get(key), left.get(key.replace("landing", "processed")))
        proxy.reset()
        rows = move(bucket, keys)
        assert {row["status"] for row in rows} <= {"moved", "already_moved"}
        assert bucket.contents() == moved, f"killed {moment} request {number}"
    assert killed_at == ["LIST", "LIST", *["HEAD", "HEAD", "GET", "COPY", "HEAD", "HEAD", "DELETE"] * 2]


def test_many_keys_move_in_parallel_and_are_returned_in_their_order(bucket, connect):
    connect(past_the_proxy=True)
    keys = [f"landing/{number:04}.csv" for number in range(200)]
    bucket.put_all(keys)

    rows = move(bucket, keys)

    assert [row["key"] for row in rows] == keys
    assert {row["status"] for row in rows} == {"moved"}
    assert bucket.keys() == [key.replace("landing", "processed") for key in keys]


def test_openlineage_is_told_from_which_prefix_to_which_and_what_went(bucket):
    for key in KEYS[:2]:
        bucket.put(key)
    operator = S3MoveKeysOperator(
        task_id="move",
        keys=KEYS,
        source_bucket=bucket.name,
        source_prefix="landing/",
        dest_prefix="processed/",
        aws_conn_id="s3",
    )
    with pytest.raises(AirflowFailException):
        operator.execute({})
    told = operator.get_openlineage_facets_on_complete(None)
    assert [(one.namespace, one.name) for one in told.inputs] == [(f"s3://{bucket.name}", "landing")]
    (output,) = told.outputs
    assert (output.namespace, output.name) == (f"s3://{bucket.name}", "processed")
    assert output.outputFacets["outputStatistics"].size == 26
    assert output.outputFacets["subset"].outputCondition == {
        "type": "location",
        "locations": [f"s3://{bucket.name}/processed/{name}.csv" for name in "ab"],
    }
    # The server isn't AWS's, so no console shows it.
    assert operator.operator_extra_links == ()
