"""Iceberg tables on S3, by a REST catalog and by Glue."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import boto3
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from airflow_mapping_kit.tables.iceberg.publish import publish
from airflow_mapping_kit.tables.staged import prefix
from iceberg_tables import Lake, run_id, stage
from staging import SEVERAL

SCHEMA = Schema(NestedField(1, "k", StringType()), NestedField(2, "n", LongType()))
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))


@pytest.fixture(params=["rest", "s3a", "fsspec", "glue"])
def lake_on_s3(request, s3_server, monkeypatch):
    namespace = f"lake_{uuid.uuid4().hex[:8]}"
    if request.param == "fsspec":
        catalog = request.getfixturevalue("iceberg_catalog_on_s3")
        extra = {"extra": {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}}
        monkeypatch.setenv("AIRFLOW_CONN_FSSPEC", json.dumps(json.loads(catalog.airflow_connection) | extra))
        return Lake(catalog.client(), "fsspec", namespace), "fsspec"
    if request.param != "glue":
        conn_id = request.getfixturevalue("iceberg_conn_on_s3")
        return Lake(
            request.getfixturevalue("iceberg_catalog_on_s3").client(), conn_id, namespace
        ), request.param
    keys = {
        "access-key-id": "testing",
        "secret-access-key": "testing",
        "endpoint": s3_server,
        "region": "eu-west-1",
    }
    properties = {
        "type": "glue",
        "warehouse": "s3://glue-warehouse",
        **{f"{service}.{name}": value for service in ("glue", "s3") for name, value in keys.items()},
    }
    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=s3_server, region_name="eu-west-1", **secrets)
    client.create_bucket(
        Bucket="glue-warehouse", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    monkeypatch.setenv("AIRFLOW_CONN_GLUE", json.dumps({"conn_type": "iceberg", "extra": properties}))
    return Lake(load_catalog("glue", **properties), "glue", namespace), "glue"


def test_instances_upload_and_the_fan_in_publishes(lake_on_s3, s3_conn):
    lake, kind = lake_on_s3
    location = {"location": f"s3a://warehouse/{lake.namespace}/flights"} if kind == "s3a" else {}
    name = lake.create(SCHEMA, BY_K, **location)
    table = lake.look(name)
    client = lake.table(name).io

    def staged(keys, n, run, **several):
        sql, arguments = (
            f"SELECT $n::BIGINT AS n FROM range({5000 if several else 1})",
            {"unused": ["k"], "parameters": {"n": n}, "aws_conn_id": s3_conn, **several},
        )
        return stage(table, sql, [{"k": k} for k in keys], run, **arguments)

    publish(table, staged("abc", 0, 0), run_id(0))
    left = [staged("a", 7, 1)[0]["path"], staged("a", 7, 1, **SEVERAL)[0]["files"][1]["path"]]
    pieces = staged("ab", 1, 1, **SEVERAL)

    published = publish(table, pieces, run_id(1))

    assert Counter(lake.rows(name, "k", "n")) == {("a", 1): 5000, ("b", 1): 5000, ("c", 0): 1}
    assert published["left_over"] == 4
    assert table["location"].startswith("s3a://" if kind == "s3a" else "s3://")
    assert not any(client.new_input(path).exists() for path in left)
    staged_files = [one["path"] for piece in pieces for one in piece["files"]]
    assert [client.new_input(path).exists() for path in staged_files] == [True] * 6
    assert all(piece["path"].startswith(f"{prefix(table, run_id(1))}/") for piece in pieces)
    files = lake.table(name).inspect.files()["file_path"].to_pylist()
    assert all(path.startswith(table["uri"]) for path in files)
