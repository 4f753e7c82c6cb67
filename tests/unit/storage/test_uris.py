"""What a target and a URI in object storage name."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.storage.uris import Uri, parsed, target_of


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("s3://lake", Uri("s3", None, "lake", "")),
        ("s3://lake/", Uri("s3", None, "lake", "")),
        ("s3://aws@lake/a/b/", Uri("s3", "aws", "lake", "a/b/")),
        ("gs://google@lake/flights", Uri("gs", "google", "lake", "flights/")),
        ("gcs://lake//a", Uri("gcs", None, "lake", "/a/")),
        ("az://@lake/50%", Uri("az", None, "lake", "50%/")),
        ("abfs://a@b@lake/x@y", Uri("abfs", "a@b", "lake", "x@y/")),
        ("/disk/lake", None),
        ("lake", None),
    ],
)
def test_a_target_is_a_directory_or_a_prefix_of_a_bucket(target, uri):
    assert target_of(target) == uri


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "is no place: write a directory, s3://bucket/prefix, gs://connection@bucket/prefix or az://"),
        (None, "target=None is no place"),
        (" ", "target=' ' is no place"),
        ("lake\n", r"target='lake\\n' is no place"),
        ("~/lake", "target='~/lake' is no place"),
        ("s3:/lake/x", "target='s3:/lake/x' is no place"),
        ("hdfs://lake/x", "target='hdfs://lake/x' is no place"),
        ("gs:///x", "names no bucket: write gs://bucket/prefix"),
        ("az://wasb@/x", "names no container: write az://container/prefix"),
        (
            "abfss://lake@account.dfs.core.windows.net/x",
            "names an account, but the account belongs into the Airflow connection: write abfss://connection@container/prefix",
        ),
        ("gs://lake/a#1", "has a # in its prefix"),
        ("az://lake/a?b", r"has a \? in its prefix"),
    ],
)
def test_what_can_be_no_target_is_refused_with_what_to_write(target, message):
    with pytest.raises(TargetError, match=message):
        target_of(target)


def test_a_uri_is_shown_without_its_connection():
    uri = parsed("gs://google@lake/flights/a b.parquet")
    assert (str(uri), uri.path) == ("gs://lake/flights/a b.parquet", "lake/flights/a b.parquet")
    assert uri.uri == "gs://google@lake/flights/a b.parquet"
