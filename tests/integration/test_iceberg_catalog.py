"""The Iceberg catalog that the tests of tables use: what it keeps, what it refuses, and as which error."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    OAuthError,
    RESTError,
    TableAlreadyExistsError,
    UnauthorizedError,
)

SCHEMA = pa.schema([("k", pa.string()), ("n", pa.int64())])


def rows(*numbers):
    return pa.table({"k": ["a"] * len(numbers), "n": list(numbers)}, schema=SCHEMA)


def numbers(table):
    return sorted(table.scan().to_arrow()["n"].to_pylist())


def test_a_table_is_made_written_read_listed_and_dropped(iceberg_catalog):
    client = iceberg_catalog.client()
    client.create_namespace(("of tests", "within"), {"owner": "nobody"})
    assert ("of tests",) in client.list_namespaces()
    assert client.load_namespace_properties(("of tests", "within")) == {"owner": "nobody"}
    made = client.create_table(("of tests", "within", "a/b"), SCHEMA, properties={"format-version": "2"})
    made.append(rows(1, 2))
    found = client.load_table(("of tests", "within", "a/b"))
    assert numbers(found) == [1, 2]
    assert found.format_version == 2
    assert client.list_tables(("of tests", "within")) == [("of tests", "within", "a/b")]
    assert client.table_exists(("of tests", "within", "a/b"))
    client.drop_table(("of tests", "within", "a/b"))
    assert client.list_tables(("of tests", "within")) == []
    assert not client.table_exists(("of tests", "within", "a/b"))
    client.drop_namespace(("of tests", "within"))


def test_of_two_commits_on_one_snapshot_the_second_is_refused(iceberg_catalog):
    client = iceberg_catalog.client()
    client.create_namespace("raced")
    first = client.create_table("raced.t", SCHEMA, properties={"commit.retry.num-retries": "0"})
    second = client.load_table("raced.t")
    first.append(rows(1))
    with pytest.raises(CommitFailedException):
        second.append(rows(2))
    assert numbers(client.load_table("raced.t")) == [1]


def test_what_is_not_there_or_there_already_is_refused_by_name(iceberg_catalog):
    client = iceberg_catalog.client()
    client.create_namespace("there")
    client.create_table("there.t", SCHEMA)
    with pytest.raises(NamespaceAlreadyExistsError, match="there"):
        client.create_namespace("there")
    with pytest.raises(TableAlreadyExistsError, match=r"there\.t"):
        client.create_table("there.t", SCHEMA)
    with pytest.raises(NoSuchTableError, match=r"there\.u"):
        client.load_table("there.u")
    with pytest.raises(NoSuchNamespaceError, match="elsewhere"):
        client.list_tables("elsewhere")


def test_who_may_not_log_in_is_refused(iceberg_catalog):
    uri = iceberg_catalog.uri

    def client(**properties):
        return load_catalog("lake", type="rest", uri=uri, **properties)

    with pytest.raises(OAuthError, match="Wrong client or secret"):
        client(credential="mapkitlocalclient:wrong")
    with pytest.raises(UnauthorizedError, match="Log in first"):
        client()
    with pytest.raises(UnauthorizedError, match="Log in first"):
        client(token="stale")
    good = iceberg_catalog.client().properties["credential"]
    assert client(credential=good, warehouse="lake").list_namespaces() is not None
    with pytest.raises(RESTError, match="'lak' does not exist"):
        client(credential=good, warehouse="lak")


def test_tables_on_s3_come_with_what_reads_them(iceberg_catalog_on_s3, s3_client):
    client = iceberg_catalog_on_s3.client()
    client.create_namespace("ns")
    made = client.create_table("ns.t", SCHEMA)
    made.append(rows(1, 2, 3))
    assert numbers(client.load_table("ns.t")) == [1, 2, 3]
    assert made.location().startswith("s3://warehouse/")
    keys = [found["Key"] for found in s3_client.list_objects_v2(Bucket="warehouse")["Contents"]]
    assert [key for key in keys if key.endswith(".parquet")]
