"""What an Iceberg table, its catalog or what was staged refuses says what, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataUtil
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, IntegerType, LongType, NestedField, StringType, TimestampType

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.described import homes_of
from airflow_mapping_kit.tables.iceberg.look import look
from airflow_mapping_kit.tables.iceberg.publish import publish
from iceberg_tables import run_id, stage

SCHEMA = Schema(
    NestedField(1, "k", StringType()),
    NestedField(2, "n", LongType()),
    NestedField(3, "at", TimestampType()),
    NestedField(4, "day", DateType()),
)
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))


@pytest.fixture
def name(lake):
    return lake.create(SCHEMA, BY_K)


def staged(lake, name, keys="a", run=1):
    table = lake.look(name)
    return table, stage(table, "SELECT 1 AS n", [{"k": k} for k in keys], run, unused=["k"])


def connection(monkeypatch, **settings):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "iceberg", **settings}))
    return "other"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("flight", r"has no table '.*\.flight' \(near: 'flights'\)"),
        ("nothing_alike", r"has no table .*: the kit makes no tables. The namespace '.*' has flights"),
    ],
)
def test_a_table_that_is_not_there(lake, name, asked, said):
    with pytest.raises(TargetError, match=said):
        lake.look(f"{lake.namespace}.{asked}")


def test_a_namespace_that_is_not_there(lake, name):
    with pytest.raises(
        TargetError, match=rf"has no namespace '{lake.namespace}x' \(near: .*'{lake.namespace}'"
    ):
        lake.look(f"{lake.namespace}x.flights")


@pytest.mark.parametrize("asked", ["flights", "", ".flights", "lake."])
def test_a_name_without_a_namespace(lake, asked):
    with pytest.raises(TargetError, match="is no name of an Iceberg table: write namespace.table"):
        lake.look(asked)


def test_a_connection_that_is_not_there():
    with pytest.raises(TargetError, match="there is no Airflow connection 'no_lake'"):
        look("lake.flights", "no_lake", {})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "has '' as its host: write the URL"),
        ({"host": "catalog.example.com"}, "has 'catalog.example.com' as its host: write the URL"),
        (
            {"host": "https://x", "extra": {"type": "hive"}},
            "a catalog of the type 'hive', and something that it needs isn't installed",
        ),
        (
            {"host": "https://x", "extra": {"type": "unity"}},
            "no Iceberg catalog can be made of the Airflow connection 'other': 'unity'",
        ),
    ],
)
def test_a_connection_that_is_none_of_a_catalog(monkeypatch, settings, said):
    with pytest.raises(TargetError, match=said):
        look("lake.flights", connection(monkeypatch, **settings), {})


def test_credentials_that_the_catalog_refuses(monkeypatch, iceberg_catalog):
    conn_id = connection(monkeypatch, host=iceberg_catalog.uri, login="nobody", password="a-wrong-word")

    with pytest.raises(
        TargetError, match="refuses the credentials of the Airflow connection 'other'"
    ) as caught:
        look("lake.flights", conn_id, {})

    assert "a-wrong-word" not in str(caught.value)


def test_a_warehouse_that_is_not_there(monkeypatch, iceberg_catalog):
    settings = json.loads(iceberg_catalog.airflow_connection) | {"extra": {"warehouse": "lak"}}

    with pytest.raises(
        TargetError, match="'lak' does not exist.*: check the connection's host and its warehouse"
    ):
        look("lake.flights", connection(monkeypatch, **settings), {})


def test_a_catalog_that_does_not_answer_may_answer_later(monkeypatch):
    with pytest.raises(AirflowException, match="can't look up lake.flights: the catalog of .* 'other'"):
        look("lake.flights", connection(monkeypatch, host="http://127.0.0.1:9"), {})


def test_a_host_that_is_no_catalog(monkeypatch, s3_server):
    with pytest.raises(TargetError, match="connection 'other'"):
        look("lake.flights", connection(monkeypatch, host=s3_server), {})


def test_a_table_of_version_3_is_refused(lake, name, monkeypatch):
    # No catalog of pyiceberg gives one out, so it is read here as another one would.
    loaded = lake.table(name)
    told = json.loads(loaded.metadata.model_dump_json()) | {"format-version": 3, "next-row-id": 0}
    loaded.metadata = TableMetadataUtil.parse_obj(told)
    monkeypatch.setattr(RestCatalog, "load_table", lambda *_: loaded)

    with pytest.raises(TargetError, match="is of version 3 of Iceberg's format"):
        lake.look(name)


@pytest.mark.parametrize(
    ("dimensions", "said"),
    [
        (
            {"date": "hour(day)"},
            "is the hour of 'day', which is of the type date .*: that has year",
        ),
        (
            {"date": "day(n)"},
            "is the day of 'n', which is of the type long .*: name a column of moments",
        ),
    ],
)
def test_a_period_that_its_column_does_not_have(lake, name, dimensions, said):
    with pytest.raises(TargetError, match=said):
        look(name, lake.conn_id, homes_of(dimensions))


def test_a_branch_that_is_not_there(lake, name):
    publish(*staged(lake, name), run_id())
    table = lake.table(name)
    newest = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_branch(newest, "audit").create_tag(newest, "v1").commit()

    with pytest.raises(TargetError, match=r"has no branch 'audi' \(near: 'audit'\): make it first"):
        lake.look(name, branch="audi")
    with pytest.raises(TargetError, match="'v1' is a tag"):
        lake.look(name, branch="v1")


def test_a_branch_that_is_dropped_in_between(lake, name):
    publish(*staged(lake, name), run_id())
    table = lake.table(name)
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "audit").commit()
    looked = lake.look(name, branch="audit")
    pieces = stage(looked, "SELECT 1 AS n", [{"k": "a"}], 2, unused=["k"])
    lake.table(name).manage_snapshots().remove_branch("audit").commit()

    with pytest.raises(TargetError, match="has no branch 'audit'"):
        publish(looked, pieces, run_id(2))


def change_spec(table):
    with table.update_spec() as update:
        update.add_identity("n")


def rename(table):
    with table.update_schema() as update:
        update.rename_column("n", "m")


def swap(table):
    with table.update_schema() as update:
        update.rename_column("n", "m")
    with table.update_schema() as update:
        update.add_column("n", LongType())


def drop(table):
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_spec, r"the partitioning of the table .* was changed to identity\(k\), identity\(n\) since"),
        (rename, r"the column 'n' \(BIGINT\) of the table .* was renamed, dropped or changed since"),
        (swap, r"the column 'n' \(BIGINT\) of the table .* was renamed, dropped or changed since"),
        (drop, r"the column 'n' \(BIGINT\) of the table .* was renamed, dropped or changed since"),
    ],
)
def test_a_table_that_changed_after_it_was_looked_up(lake, name, change, said):
    table, pieces = staged(lake, name)
    change(lake.table(name))

    with pytest.raises(
        TargetError, match=f"{said} it was looked up. Clear the task that looks it up and all after it"
    ):
        publish(table, pieces, run_id())

    assert lake.rows(name) == []


def test_only_the_lookup_is_cleared_after_a_change(lake, name):
    _, pieces = staged(lake, name)
    swap(lake.table(name))

    with pytest.raises(
        TargetError, match="k=a: .* doesn't fit the table .*: the table has no 'n' with the id 2"
    ):
        publish(lake.look(name), pieces, run_id())

    assert lake.rows(name) == []


def test_columns_that_came_in_between_are_null(lake, name):
    table, pieces = staged(lake, name)
    with lake.table(name).update_schema() as update:
        update.add_column("new", IntegerType())

    publish(table, pieces, run_id())

    assert lake.rows(name, "k", "n", "new") == [("a", 1, None)]


def test_a_table_that_was_made_anew(lake, name):
    table, pieces = staged(lake, name)
    lake.catalog.drop_table(name)
    lake.create(SCHEMA, BY_K)

    with pytest.raises(TargetError, match="was dropped and made anew since"):
        publish(table, pieces, run_id())


def test_a_table_that_was_dropped(lake, name):
    table, pieces = staged(lake, name)
    lake.catalog.drop_table(name)

    with pytest.raises(TargetError, match="has no table"):
        publish(table, pieces, run_id())


def test_a_staged_file_that_is_gone(lake, name):
    table, pieces = staged(lake, name, "ab")
    Path(pieces[1]["path"]).unlink()

    with pytest.raises(
        TargetError, match=f"k=b: its staged file file://{pieces[1]['path']} is gone: clear this"
    ):
        publish(table, pieces, run_id())

    assert lake.rows(name) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a, b: b.write_bytes(b"PAR1 no"), "is no Parquet file"),
        (lambda a, b: b.write_bytes(b.read_bytes()[:-20]), "is no Parquet file"),
        (lambda a, b: b.write_bytes(b""), "is no Parquet file"),
        (
            lambda a, b: b.write_bytes(a.read_bytes()),
            r"isn't what was staged, 1 rows of \['b'\]: it has 1 of \['a'\]",
        ),
    ],
    ids=["other bytes", "cut", "empty", "another partition's"],
)
def test_a_staged_file_that_is_not_what_it_was(lake, name, spoil, said):
    table, pieces = staged(lake, name, "ab")
    spoil(*(Path(piece["path"]) for piece in pieces))

    with pytest.raises(TargetError, match=f"partition k=b: .*{said}"):
        publish(table, pieces, run_id())

    assert lake.rows(name) == []


def test_a_file_with_a_null_among_the_values_is_refused(lake, name):
    table, pieces = staged(lake, name)
    rows = "SELECT unnest(['a', NULL]) AS k, 1::BIGINT AS n"
    duckdb.sql(f"COPY ({rows}) TO '{pieces[0]['path']}' (FORMAT parquet, FIELD_IDS {{k: 1, n: 2}})")

    with pytest.raises(TargetError, match="isn't what was staged"):
        publish(table, [pieces[0] | {"rows": 2}], run_id())

    assert lake.rows(name) == []


def test_two_keys_of_one_partition(lake, name):
    table = lake.look(name, hour="hour(at)")
    hours = [{"hour": "2013-01-01T05"}, {"hour": "2013-01-01T06+0100"}]
    pieces = stage(table, "SELECT TIMESTAMP '2013-01-01 05:00' AS at", hours, unused=["hour"])

    with pytest.raises(
        TargetError, match=r"partitions hour=2013-01-01T05 and hour=2013-01-01T06\+0100 are the same"
    ):
        publish(table, pieces, run_id())
