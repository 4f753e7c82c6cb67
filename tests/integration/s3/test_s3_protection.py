"""What protects an object has its copy too, or the object stays where it is."""

from __future__ import annotations

import base64
import datetime
import hashlib
import os

import pytest

from airflow_mapping_kit.compat import AirflowFailException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator

MIB = 1024 * 1024
KEY, MOVED = "landing/a.csv", "processed/a.csv"
EVERYBODY = ("READ", "http://acs.amazonaws.com/groups/global/AllUsers")
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/ours"}
UNTIL = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=1)
RETENTION = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL}
# Without it nothing that is locked may be put.
EVIDENCE_MD5 = base64.b64encode(hashlib.md5(b"evidence").digest()).decode()
HOLD = {"ObjectLockLegalHoldStatus": "ON"}


def move(bucket, keys=KEY, **arguments):
    arguments = {
        "source_bucket": bucket.name,
        "source_prefix": "landing/",
        "dest_prefix": "processed/",
        "aws_conn_id": "s3",
        **arguments,
    }
    return S3MoveKeysOperator(task_id="move", keys=keys, **arguments).execute({})


def put(bucket, in_parts, **protection):
    if in_parts:
        bucket.put_in_parts(KEY, [os.urandom(5 * MIB), b"the end"], **protection)
    else:
        bucket.put(KEY, **protection)


def has(bucket, key, wanted):
    head = bucket.head(key)
    return {name: head.get(name) for name in wanted}


@pytest.fixture
def only_moto(server):
    """Ceph's gateway has KMS keys only where a key server is set up."""
    if server.name != "moto":
        pytest.skip("Ceph has no key server here")


@pytest.mark.parametrize("in_parts", [False, True], ids=["", "in parts"])
def test_the_copy_has_the_acl(bucket, in_parts):
    put(bucket, in_parts, ACL="public-read")

    move(bucket)

    assert bucket.readers(MOVED) == {EVERYBODY}
    assert bucket.keys() == [MOVED]


def test_a_private_object_stays_private(bucket):
    bucket.put(KEY)

    move(bucket)

    assert bucket.readers(MOVED) == set()


@pytest.mark.parametrize("in_parts", [False, True], ids=["", "in parts"])
def test_the_copy_has_the_kms_key_and_the_redirect(bucket, only_moto, in_parts):
    put(bucket, in_parts, **KMS, WebsiteRedirectLocation="/else")

    move(bucket)

    assert has(bucket, MOVED, KMS) == KMS
    assert in_parts or bucket.head(MOVED)["WebsiteRedirectLocation"] == "/else", "moto forgets it in parts"
    assert bucket.keys() == [MOVED]


@pytest.mark.parametrize("lock", [RETENTION, HOLD, {**RETENTION, **HOLD}])
def test_the_copy_of_a_locked_object_is_locked_and_the_object_is_hidden_not_deleted(locking, lock):
    locking.put(KEY, b"evidence", ContentMD5=EVIDENCE_MD5, **lock)
    version = locking.head(KEY)["VersionId"]

    assert move(locking)[0]["status"] == "moved"

    assert locking.contents() == {MOVED: b"evidence"}
    assert has(locking, MOVED, lock) == lock
    (kept,) = locking.client.list_object_versions(Bucket=locking.name, Prefix=KEY)["Versions"]
    assert (kept["VersionId"], kept["IsLatest"]) == (version, False)


def test_a_locked_object_does_not_go_where_nothing_is_locked_unless_told_to(locking, bucket):
    locking.put(KEY, b"evidence", ContentMD5=EVIDENCE_MD5, **HOLD)

    # S3 refuses such a copy, Ceph makes one without the hold.
    refused = r"(ObjectLockLegalHoldStatus|the legal hold) of the source.*keep_protection"
    with pytest.raises(AirflowFailException, match=refused):
        move(locking, dest_bucket=bucket.name)
    assert locking.keys() == [KEY]

    move(locking, dest_bucket=bucket.name, keep_protection=False)
    assert (locking.keys(), bucket.contents()) == ([], {MOVED: b"evidence"})


@pytest.mark.parametrize(
    ("wanted", "has_it", "said"),
    [
        ({"ACL": "public-read"}, {}, "the ACL"),
        ({}, {"ACL": "public-read"}, "the ACL"),
        (KMS, {}, "the KMS key .*key/ours"),
        (KMS, {**KMS, "SSEKMSKeyId": "another"}, "the KMS key .*key/ours"),
    ],
)
def test_an_equal_object_at_the_destination_without_the_protection_is_not_enough(
    bucket, only_moto, wanted, has_it, said
):
    bucket.put(KEY, b"same", **wanted)
    bucket.put(MOVED, b"same", **has_it)

    with pytest.raises(AirflowFailException, match=f"is the same, but doesn't have {said}.*replace=True"):
        move(bucket)
    assert bucket.keys() == [KEY, MOVED]

    move(bucket, replace=True)
    assert bucket.keys() == [MOVED]
    assert bucket.readers(MOVED) == ({EVERYBODY} if "ACL" in wanted else set())
    assert bucket.head(MOVED).get("SSEKMSKeyId") == wanted.get("SSEKMSKeyId")


def test_a_server_that_forgets_the_acl_of_a_copy_is_noticed_and_the_source_stays(bucket, proxy):
    bucket.put(KEY, ACL="public-read")
    private = {"Bucket": bucket.name, "Key": MOVED, "ACL": "private"}
    proxy.after = lambda request: bucket.client.put_object_acl(**private) if request.kind == "COPY" else None

    with pytest.raises(AirflowFailException, match="the copy doesn't have the ACL.*not deleted"):
        move(bucket)

    assert bucket.keys() == [KEY, MOVED]


def test_what_the_copies_get_can_be_told_and_is_not_asked_then(bucket, only_moto, proxy):
    bucket.put(KEY, **KMS, ACL="public-read")
    ours = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/the-lake"}

    move(bucket, extra_args={"ACL": "authenticated-read", "StorageClass": "STANDARD_IA", **ours})

    assert bucket.readers(MOVED) == {("READ", EVERYBODY[1].replace("AllUsers", "AuthenticatedUsers"))}
    assert has(bucket, MOVED, ours) == ours
    assert bucket.head(MOVED)["StorageClass"] == "STANDARD_IA"
    assert [request.path for request in proxy.requests if request.path.endswith("?acl")] == []


def test_protection_may_be_lost_where_that_is_said(bucket, only_moto):
    bucket.put(KEY, **KMS, ACL="public-read")

    move(bucket, keep_protection=False)

    assert bucket.readers(MOVED) == set()
    assert "SSEKMSKeyId" not in bucket.head(MOVED)


def test_an_acl_that_may_not_be_read_is_told_with_what_to_do(bucket, proxy):
    bucket.put(KEY)
    proxy.before = lambda request: "403 denied" if request.path.endswith("?acl") else None

    with pytest.raises(AirflowFailException, match="refused to tell its ACL.*GetObjectAcl.*extra_args"):
        move(bucket)
    assert bucket.keys() == [KEY]

    move(bucket, extra_args={"ACL": "private"})
    assert bucket.keys() == [MOVED]


def test_a_server_without_acls_has_none_to_lose(bucket, proxy):
    bucket.put(KEY)
    proxy.before = lambda request: "501" if request.path.endswith("?acl") else None

    move(bucket)

    assert bucket.keys() == [MOVED]


def test_what_no_copy_can_get_is_refused_when_the_dag_is_parsed():
    places = {"source_bucket": "lake", "source_prefix": "landing/", "dest_prefix": "processed/"}

    with pytest.raises(StorageError, match=r"extra_args has \['Metadata'\].*StorageClass, ACL"):
        S3MoveKeysOperator(task_id="move", keys=KEY, extra_args={"Metadata": {}, "ACL": "private"}, **places)
    with pytest.raises(StorageError, match="max_workers=0 is no number of threads"):
        S3MoveKeysOperator.partial(task_id="move", max_workers=0, **places)
    with pytest.raises(
        AirflowFailException, match=r"etags is \['a'\]: write a dict with the ETag of each key"
    ):
        S3MoveKeysOperator(task_id="move", keys=KEY, etags=["a"], **places).execute({})
