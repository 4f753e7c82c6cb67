"""S3MoveKeysOperator from one store to another: no server can copy, so the content is read, written and compared."""

from __future__ import annotations

import os
import time

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator, copies

MIB = 1024 * 1024


@pytest.fixture
def far(other_server, bucket, monkeypatch):
    """Return a bucket of the same name in another store, which the connection `far` leads to."""
    monkeypatch.setenv("AIRFLOW_CONN_FAR", other_server.connection(other_server.endpoint))
    return type(bucket)(other_server, name=bucket.name)


def move(bucket, keys, **arguments):
    arguments = {
        "source_bucket": bucket.name,
        "source_prefix": "landing/",
        "dest_prefix": "landing/",
        "aws_conn_id": "s3",
        "dest_aws_conn_id": "far",
        **arguments,
    }
    return S3MoveKeysOperator(task_id="move", keys=keys, **arguments).execute({})


def fetch(bucket, keys, **arguments):
    """Move in the other direction, so that it is the destination that has the faults."""
    return move(bucket, keys, **{"aws_conn_id": "far", "dest_aws_conn_id": "s3", **arguments})


def test_an_object_goes_to_the_other_store_with_all_that_belongs_to_it(bucket, far):
    bucket.put(
        "landing/a b.csv",
        b"1,EWR\n",
        ContentType="text/csv",
        ContentEncoding="utf-8",
        Metadata={"origin": "EWR"},
        Tagging="team=ops&note=a%20b",
        StorageClass="STANDARD",
    )
    bucket.put("landing/empty", b"")
    bucket.put("landing/late")

    rows = move(bucket, ["landing/a b.csv", "landing/empty"])

    assert rows == [
        {"key": "landing/a b.csv", "moved_to": "landing/a b.csv", "bytes": 6, "status": "moved"},
        {"key": "landing/empty", "moved_to": "landing/empty", "bytes": 0, "status": "moved"},
    ]
    assert bucket.keys() == ["landing/late"]
    assert far.contents() == {"landing/a b.csv": b"1,EWR\n", "landing/empty": b""}
    head = far.head("landing/a b.csv")
    assert (head["ContentType"], head["ContentEncoding"], head["Metadata"]) == (
        "text/csv",
        "utf-8",
        {"origin": "EWR"},
    )
    assert far.tags("landing/a b.csv") == {"team": "ops", "note": "a b"}
    assert move(bucket, ["landing/a b.csv"])[0]["status"] == "already_moved"


def test_an_object_uploaded_in_parts_keeps_its_parts_and_is_read_once(bucket, far, proxy):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"the end"]
    bucket.put_in_parts("landing/large", parts, ContentType="text/csv", Metadata={"origin": "EWR"})
    bucket.tag("landing/large", "team", "ops")
    etag = bucket.head("landing/large")["ETag"]

    move(bucket, ["landing/large"])

    assert bucket.keys() == []
    assert far.contents() == {"landing/large": b"".join(parts)}
    head = far.head("landing/large")
    assert (head["ETag"], head["ContentType"], head["Metadata"]) == (etag, "text/csv", {"origin": "EWR"})
    assert far.tags("landing/large") == {"team": "ops"}
    read = [request for request in proxy.requests if request.kind == "GET" and "?" not in request.path]
    assert sorted(request.headers["Range"] for request in read) == [
        "bytes=0-5242879",
        "bytes=10485760-10485766",
        "bytes=5242880-10485759",
    ]


def test_a_large_object_of_one_part_goes_in_parts_and_is_compared_by_its_bytes(
    bucket, far, proxy, monkeypatch
):
    monkeypatch.setattr(copies, "_STREAMED_PART_BYTES", 5 * MIB)
    body = os.urandom(11 * MIB)
    bucket.put("landing/large", body)

    move(bucket, ["landing/large"], max_workers=2)

    assert bucket.keys() == []
    assert far.contents() == {"landing/large": body}
    assert far.head("landing/large")["ETag"].endswith('-3"')
    read = [request for request in proxy.requests if request.kind == "GET" and "?" not in request.path]
    assert len(read) == 4, "three parts, and all of it to compare"


def test_a_part_that_can_not_be_written_leaves_the_source_and_no_parts(bucket, far, proxy, connect):
    connect(retries={"total_max_attempts": 1})
    far.put_in_parts("landing/large", [os.urandom(5 * MIB), b"the end"])
    proxy.before = lambda request: "503" if "partNumber=2" in request.path else None

    with pytest.raises(AirflowException, match=r"move an object from s3://.* by 's3'.*landing/large"):
        fetch(bucket, ["landing/large"])

    assert far.keys() == ["landing/large"]
    assert bucket.keys() == []
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)
    proxy.before = lambda _: None
    assert fetch(bucket, ["landing/large"])[0]["status"] == "moved"
    assert (far.keys(), bucket.keys()) == ([], ["landing/large"])


@pytest.mark.system
def test_content_that_changes_on_the_way_is_refused_by_who_gets_it(bucket, far, proxy, connect, server):
    if server.name == "moto":
        pytest.skip("moto doesn't compare")
    connect(retries={"total_max_attempts": 1})
    far.put("landing/a.csv", b"1,EWR\n")

    def garble(request):
        if request.kind == "PUT":
            request.headers["Content-MD5"] = "1B2M2Y8AsgTpgAmY7PhCfg=="

    proxy.before = garble
    with pytest.raises(AirflowException, match=r"landing/a\.csv"):
        fetch(bucket, ["landing/a.csv"])

    assert far.contents() == {"landing/a.csv": b"1,EWR\n"}
    assert bucket.keys() == []


@pytest.mark.system
def test_a_class_of_storage_that_the_other_store_does_not_know_is_named(bucket, far, server):
    if server.name == "moto":
        pytest.skip("both would be moto, and know the same")
    far.put("landing/a.csv", b"1,EWR\n", StorageClass="ONEZONE_IA")

    with pytest.raises(AirflowFailException, match="a copy with StorageClass of the source.*extra_args"):
        fetch(bucket, ["landing/a.csv"])

    assert far.keys() == ["landing/a.csv"]
    assert fetch(bucket, ["landing/a.csv"], extra_args={"StorageClass": "STANDARD"})[0]["status"] == "moved"


def test_what_is_rewritten_over_the_copy_before_it_is_compared_keeps_the_source(bucket, far, proxy):
    far.put("landing/a.csv", b"1,EWR\n")

    def overwrite(request):
        if request.kind == "PUT":
            bucket.put("landing/a.csv", b"9,JFK\n")

    proxy.after = overwrite
    with pytest.raises(AirflowException, match="The source was not deleted"):
        fetch(bucket, ["landing/a.csv"])

    assert far.contents() == {"landing/a.csv": b"1,EWR\n"}


def test_a_source_that_is_rewritten_while_it_is_read_stays(bucket, far, proxy):
    parts = [os.urandom(5 * MIB), b"the end"]
    bucket.put_in_parts("landing/large", parts)

    def rewrite(request):
        if request.kind == "GET" and "?" not in request.path:
            bucket.put("landing/large", b"new")

    proxy.after = rewrite
    with pytest.raises(AirflowException):
        move(bucket, ["landing/large"], max_workers=1)

    assert bucket.contents() == {"landing/large": b"new"}
    assert far.keys() == []


def test_another_object_there_is_left_alone_and_the_same_one_only_deleted_here(bucket, far, proxy):
    for key in ("landing/same", "landing/other"):
        bucket.put(key, b"ours")
    far.put("landing/other", b"theirs")
    # S3 dates by the second: written in the same one, they could be one object that both connections reach.
    time.sleep(1.1)
    far.put("landing/same", b"ours")

    with pytest.raises(
        AirflowFailException, match=r"another object has the destination's key already.*landing/other"
    ):
        move(bucket, ["landing/same", "landing/other"])

    assert bucket.contents() == {"landing/other": b"ours"}
    assert far.contents() == {"landing/same": b"ours", "landing/other": b"theirs"}
    assert not [request for request in proxy.requests if request.kind == "GET" and "?" not in request.path]


def test_one_object_that_both_connections_reach_is_no_copy_of_itself(bucket, connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FAR", os.environ["AIRFLOW_CONN_S3"])
    bucket.put("landing/a.csv")

    with pytest.raises(AirflowFailException, match="one and the same object"):
        move(bucket, ["landing/a.csv"])

    assert bucket.contents() == {"landing/a.csv": b"landing/a.csv"}


def test_the_connection_of_the_source_said_twice_copies_inside_the_store(bucket, proxy):
    bucket.put("landing/a.csv")

    move(bucket, ["landing/a.csv"], dest_aws_conn_id="s3", dest_prefix="processed/")

    assert bucket.keys() == ["processed/a.csv"]
    assert "COPY" in [request.kind for request in proxy.requests]


def test_a_task_that_is_ended_between_two_parts_writes_no_more_and_deletes_nothing(bucket, far, proxy):
    bucket.put_in_parts("landing/large", [os.urandom(5 * MIB), os.urandom(5 * MIB), b"the end"])
    operator = S3MoveKeysOperator(
        task_id="move",
        keys=["landing/large"],
        source_bucket=bucket.name,
        source_prefix="landing/",
        dest_prefix="landing/",
        aws_conn_id="s3",
        dest_aws_conn_id="far",
        max_workers=1,
    )

    def end(request):
        if request.headers.get("Range"):
            operator.on_kill()

    proxy.after = end
    with pytest.raises(AirflowException, match="The task was ended"):
        operator.execute({})

    assert bucket.keys() == ["landing/large"]
    assert far.keys() == []
    assert "Uploads" not in far.client.list_multipart_uploads(Bucket=far.name)
