"""s3_keys and s3_partitions against a server."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_mapping_kit.generators import s3_keys, s3_partitions

NOW = datetime.datetime.now(datetime.timezone.utc)


class _Instance:
    map_index = -1


def plan(generator, *args, **kwargs):
    """Run a generator as Airflow would: through its operator's execute."""
    from airflows import DAG

    with DAG("plan", schedule=None, start_date=datetime.datetime(2024, 1, 1)):
        operator = generator(*args, aws_conn_id="s3", **kwargs).operator
    return operator.execute({"ti": _Instance()})


def test_lists_what_the_prefix_begins_sorted_bytewise_without_folder_markers(bucket):
    for key in ["day1/b", "day1/é", "day1/a", "day1/B", "day10/a", "day1/sub/x", "day1/🛬", "day2/a"]:
        bucket.put(key)
    bucket.put("day1/", b"")
    bucket.put("day1/sub/", b"")
    bucket.put("day1/empty.csv", b"")
    bucket.put("day1/real content/", b"x")

    slash, text = plan(s3_keys, bucket.name, "day1/"), plan(s3_keys, bucket.name, "day1")

    assert slash == [
        "day1/B", "day1/a", "day1/b", "day1/empty.csv", "day1/real content/",
        "day1/sub/x", "day1/é", "day1/🛬",
    ]  # fmt: skip
    assert slash == sorted(slash, key=str.encode)
    assert text == [*slash, "day10/a"]


def test_keys_come_back_as_they_were_written(bucket, server):
    keys = ["/leading", "a b+c%2F&", "q'\"uote", "{{ x }}", "n" * 1024]
    # moto's server has no route for a key with a line feed.
    keys += ["line\nfeed"] if server.name == "gateway" else []
    for key in keys:
        bucket.put(key)

    assert plan(s3_keys, bucket.name) == sorted(keys)


def test_match_is_a_glob_on_what_follows_the_prefix(bucket):
    for key in ["in[1]/a.csv", "in[1]/sub/b.csv", "in[1]/c.CSV", "in[1]/d.csv.gz"]:
        bucket.put(key)

    assert plan(s3_keys, bucket.name, "in[1]/", match="*.csv") == ["in[1]/a.csv", "in[1]/sub/b.csv"]
    assert plan(s3_keys, bucket.name, "in[1]/", match="[ab].csv") == ["in[1]/a.csv"]


def test_sizes_are_inclusive_bounds(bucket):
    for size in (1, 2, 3, 4):
        bucket.put(f"{size}", b"x" * size)

    assert plan(s3_keys, bucket.name, min_size=2, max_size=3) == ["2", "3"]


def test_modification_times_are_a_half_open_window(bucket):
    bucket.put("old")
    old = bucket.head("old")["LastModified"]
    deadline = time.monotonic() + 30
    while True:  # S3 keeps whole seconds: written until they differ
        bucket.put("new")
        new = bucket.head("new")["LastModified"]
        if new > old:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert plan(s3_keys, bucket.name, modified_since=new.isoformat()) == ["new"]
    assert plan(s3_keys, bucket.name, modified_until=new) == ["old"]
    assert plan(s3_keys, bucket.name, modified_since=old, modified_until=new) == ["old"]
    assert plan(s3_keys, bucket.name, modified_since=old.strftime("%Y-%m-%dT%H:%M:%SZ")) == ["new", "old"]
    assert plan(s3_keys, bucket.name, modified_since=str(old.date())) == ["new", "old"], (
        "UTC without an offset"
    )


def test_batches_keep_to_the_smaller_limit_and_a_large_object_is_a_batch_of_its_own(bucket):
    for name, size in (("a", 4), ("b", 4), ("c", 20), ("d", 1), ("e", 1), ("f", 1), ("g", 8)):
        bucket.put(name, b"x" * size)

    assert plan(s3_keys, bucket.name, batch_bytes=10) == [["a", "b"], ["c"], ["d", "e", "f"], ["g"]]
    assert plan(s3_keys, bucket.name, batch_bytes=11, batch_size=3) == [
        ["a", "b"],
        ["c"],
        ["d", "e", "f"],
        ["g"],
    ]
    assert plan(s3_keys, bucket.name, batch_bytes=10, batch_size=2) == [
        ["a", "b"], ["c"], ["d", "e"], ["f", "g"]
    ]  # fmt: skip
    assert plan(s3_keys, bucket.name, batch_size=1) == [[name] for name in "abcdefg"]


def test_more_keys_than_a_page_holds_come_page_by_page_in_order(bucket, proxy):
    # A page holds 1,000.
    keys = [f"landing/{number:05}.csv" for number in range(2100)]
    bucket.put_all(keys)

    assert plan(s3_keys, bucket.name, "landing/") == keys
    assert [request.kind for request in proxy.requests] == ["LIST"] * 3
    assert plan(s3_keys, bucket.name, "landing/", batch_size=900) == [keys[:900], keys[900:1800], keys[1800:]]


def test_an_empty_listing_skips_or_fails(bucket):
    with pytest.raises(AirflowSkipException):
        plan(s3_keys, bucket.name, "nothing/")
    with pytest.raises(AirflowFailException, match="empty plan"):
        plan(s3_keys.override(on_empty="fail"), bucket.name, "nothing/")


def test_a_missing_bucket_fails_at_once_and_names_what_to_check(bucket):
    with pytest.raises(
        AirflowFailException, match=r"s3://no-such-bucket/in/ .*'s3'.*NoSuchBucket.*bucket's name"
    ):
        plan(s3_keys, "no-such-bucket", "in/")


def test_a_server_that_is_overloaded_may_be_asked_again_later(bucket, proxy, connect):
    connect(retries={"total_max_attempts": 1})
    proxy.before = lambda _: "503"

    with pytest.raises(AirflowException, match="SlowDown") as failure:
        plan(s3_keys, bucket.name)

    assert not isinstance(failure.value, AirflowFailException)


@pytest.mark.parametrize("fault", ["503", "reset", "lost answer"])
def test_a_page_that_fails_is_asked_for_again(bucket, proxy, fault):
    for key in "abc":
        bucket.put(key)
    proxy.before = lambda request: fault if request.number == 1 else None

    assert plan(s3_keys, bucket.name) == ["a", "b", "c"]
    assert len(proxy.requests) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_bytes": "nine"}, "batch_bytes is 'nine'"),
        ({"min_size": -1}, "min_size is -1"),
        ({"min_size": 5, "max_size": 4}, "min_size 5 is over max_size 4"),
        ({"modified_since": "yesterday"}, "modified_since is 'yesterday'"),
        ({"modified_since": "2024-01-02", "modified_until": "2024-01-02"}, "is not before modified_until"),
        ({"match": ""}, "match is ''"),
        ({"bucket": ""}, "bucket is ''"),
        ({"bucket": "s3://lake/in"}, "bucket is 's3://lake/in'"),
        ({"prefix": None}, "prefix is None"),
    ],
)
def test_bad_input_fails_at_once_and_asks_s3_nothing(connect, proxy, arguments, error):
    with pytest.raises(AirflowFailException, match=error):
        plan(s3_keys, **{"bucket": "lake", **arguments})
    assert proxy.requests == []


def test_partitions_are_the_hive_style_directories_that_hold_something(bucket):
    for key in [
        "flights/date=2013-01-02/origin=EWR/a.parquet",
        "flights/date=2013-01-01/origin=JFK/a.parquet",
        "flights/date=2013-01-01/origin=EWR/a.parquet",
        "flights/date=2013-01-01/origin=EWR/b.parquet",
        "flights/date=__HIVE_DEFAULT_PARTITION__/origin=a%2Fb/a.parquet",
        "flights/_SUCCESS",
        "flights/_temporary/0/part.parquet",
        "flights/date=2013-01-03/origin=EWR/.part.crc",
        "flights2/date=2013-01-09/origin=EWR/a.parquet",
    ]:
        bucket.put(key)
    bucket.put("flights/date=2013-01-04/origin=EWR/", b"")

    expected = [
        {"date": "2013-01-01", "origin": "EWR"},
        {"date": "2013-01-01", "origin": "JFK"},
        {"date": "2013-01-02", "origin": "EWR"},
        {"date": None, "origin": "a/b"},
    ]
    assert plan(s3_partitions, bucket.name, "flights") == expected
    assert plan(s3_partitions, bucket.name, "flights/") == expected


def test_an_object_in_no_partition_is_an_error_unless_match_leaves_it_out(bucket):
    bucket.put("flights/date=2013-01-01/a.parquet")
    bucket.put("flights/README.txt")

    with pytest.raises(
        AirflowFailException, match=r"flights/README\.txt' is in no Hive-style directory.*match"
    ):
        plan(s3_partitions, bucket.name, "flights")
    assert plan(s3_partitions, bucket.name, "flights", match="*.parquet") == [{"date": "2013-01-01"}]


def test_directories_of_different_depth_are_an_error_that_names_both(bucket):
    bucket.put("flights/date=2013-01-01/a.parquet")
    bucket.put("flights/date=2013-01-02/origin=EWR/a.parquet")

    with pytest.raises(AirflowFailException, match=r"'date=2013-01-01' and 'date=2013-01-02/origin=EWR'"):
        plan(s3_partitions, bucket.name, "flights")


def test_refused_credentials_fail_at_once_and_name_bucket_prefix_and_connection(
    server, bucket, proxy, monkeypatch
):
    if server.name == "moto":
        # moto takes any credentials: this is what S3 answers to wrong ones.
        proxy.before = lambda _: "403"
    monkeypatch.setenv("AIRFLOW_CONN_S3", replace(server, secret_key="no-such-secret").connection(proxy.url))

    with pytest.raises(
        AirflowFailException, match=rf"s3://{bucket.name}/in/ .*'s3'.*SignatureDoesNotMatch.*credentials"
    ):
        plan(s3_keys, bucket.name, "in/")

    assert len(proxy.requests) == 1
