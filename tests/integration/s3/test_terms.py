"""What requests say beside what they ask: who pays, and whose bucket it has to be."""

from __future__ import annotations

import os

import pytest

from airflow_mapping_kit.compat import AirflowFailException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.generators.s3 import s3_contents, s3_keys, s3_partitions
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator

OURS, THEIRS = "012345678901", "999999999999"
MIB = 1024 * 1024


def move(bucket, keys, **arguments):
    arguments = {
        "source_bucket": bucket.name,
        "source_prefix": "landing/",
        "dest_prefix": "processed/",
        "aws_conn_id": "s3",
        **arguments,
    }
    return S3MoveKeysOperator(task_id="move", keys=keys, **arguments).execute({})


def said(proxy, name):
    return [request.headers.get(name) for request in proxy.requests]


def test_every_request_of_a_move_says_who_pays_and_whose_the_buckets_are(bucket, server, proxy):
    other = type(bucket)(server)
    bucket.put("landing/a.csv")
    bucket.put_in_parts("landing/large", [os.urandom(5 * MIB), b"the end"])

    move(
        bucket,
        ["landing/a.csv", "landing/large"],
        dest_bucket=other.name,
        requester_pays=True,
        expected_bucket_owner=OURS,
        dest_expected_bucket_owner=THEIRS,
    )

    assert other.keys() == ["processed/a.csv", "processed/large"]
    # The two that take no payer: what lists versions in older versions of botocore, and nothing else here.
    assert set(said(proxy, "x-amz-request-payer")) == {"requester"}
    for request in proxy.requests:
        owner = OURS if request.path.startswith(f"/{bucket.name}") else THEIRS
        assert request.headers["x-amz-expected-bucket-owner"] == owner, request
        if request.kind == "COPY":
            assert request.headers["x-amz-source-expected-bucket-owner"] == OURS


def test_the_destinations_owner_is_by_default_that_of_the_source(bucket, proxy):
    bucket.put("landing/a.csv")

    move(bucket, ["landing/a.csv"], expected_bucket_owner=OURS)

    assert set(said(proxy, "x-amz-expected-bucket-owner")) == {OURS}
    assert set(said(proxy, "x-amz-request-payer")) == {None}


@pytest.mark.parametrize("generator", [s3_keys, s3_contents, s3_partitions])
def test_every_page_of_a_listing_says_it(bucket, proxy, generator):
    bucket.put("landing/date=1/a.csv")

    found = list(
        generator.function(
            bucket.name, "landing/", aws_conn_id="s3", requester_pays=True, expected_bucket_owner=OURS
        )
    )

    assert len(found) == 1
    assert set(said(proxy, "x-amz-request-payer")) == {"requester"}
    assert set(said(proxy, "x-amz-expected-bucket-owner")) == {OURS}


def test_a_bucket_of_another_account_is_a_refusal_that_no_retry_cures(bucket, proxy):
    """No server at hand compares the account: the proxy does it in its place."""
    bucket.put("landing/a.csv")
    proxy.before = lambda request: (
        "403 denied" if request.headers.get("x-amz-expected-bucket-owner") == THEIRS else None
    )

    with pytest.raises(StorageError, match=r"AccessDenied to ListObjectsV2.*expected_bucket_owner"):
        list(s3_keys.function(bucket.name, aws_conn_id="s3", expected_bucket_owner=THEIRS))
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        move(bucket, ["landing/a.csv"], expected_bucket_owner=THEIRS)

    assert bucket.contents() == {"landing/a.csv": b"landing/a.csv"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expected_bucket_owner": "12345"}, "expected_bucket_owner is '12345': write the twelve digits"),
        ({"expected_bucket_owner": 123456789012}, "expected_bucket_owner is 123456789012"),
        ({"dest_expected_bucket_owner": "lake"}, "dest_expected_bucket_owner is 'lake'"),
    ],
)
def test_what_is_no_account_is_refused_before_anything_is_asked(bucket, proxy, arguments, message):
    with pytest.raises(AirflowFailException, match=message):
        move(bucket, ["landing/a.csv"], **arguments)
    if "expected_bucket_owner" in arguments:
        with pytest.raises(StorageError, match=message):
            list(s3_keys.function(bucket.name, aws_conn_id="s3", **arguments))

    assert proxy.requests == []


def test_who_pays_is_true_or_false_and_nothing_of_an_inventory(bucket):
    with pytest.raises(StorageError, match="requester_pays is 'requester': write True or False"):
        S3MoveKeysOperator(
            task_id="move",
            keys=[],
            source_bucket="a",
            source_prefix="b",
            dest_prefix="c",
            requester_pays="requester",
        )
    with pytest.raises(StorageError, match="apply to a listing"):
        list(s3_keys.function(bucket.name, inventory="s3://inventories/manifest.json", requester_pays=True))


@pytest.mark.system
@pytest.mark.usefixtures("reader")
def test_a_bucket_whose_requesters_pay_is_read_by_who_says_so_and_by_nobody_else(bucket):
    bucket.put("landing/a.csv")
    assert list(s3_keys.function(bucket.name, aws_conn_id="reader")) == ["landing/a.csv"]
    bucket.client.put_bucket_request_payment(
        Bucket=bucket.name, RequestPaymentConfiguration={"Payer": "Requester"}
    )

    with pytest.raises(StorageError, match="AccessDenied"):
        list(s3_keys.function(bucket.name, aws_conn_id="reader"))
    assert list(s3_keys.function(bucket.name, aws_conn_id="reader", requester_pays=True)) == ["landing/a.csv"]
