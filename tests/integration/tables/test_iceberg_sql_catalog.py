"""Iceberg tables of a SQL catalog, which pyiceberg has with SQLAlchemy 2: on Airflow 3."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
import sqlalchemy
from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.look import look
from airflow_mapping_kit.tables.iceberg.publish import publish
from iceberg_tables import Lake, run_id, stage

SCHEMA = Schema(NestedField(1, "k", StringType()), NestedField(2, "n", LongType()))
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))
OLD = sqlalchemy.__version__ < "2"


@pytest.fixture
def properties(tmp_path, monkeypatch):
    """Return the properties of a catalog in a file, which the Airflow connection `in_sql` is of."""
    (tmp_path / "lake").mkdir()
    found = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/lake"}
    monkeypatch.setenv("AIRFLOW_CONN_IN_SQL", json.dumps({"conn_type": "iceberg", "extra": found}))
    return found


@pytest.mark.skipif(OLD, reason="this Airflow has SQLAlchemy 1")
def test_what_is_staged_is_published_once_beside_what_others_commit_meanwhile(properties, monkeypatch):
    lake = Lake(load_catalog("in_sql", **properties), "in_sql", "lake")
    name = lake.create(SCHEMA, BY_K)
    table = lake.look(name)

    def staged(keys, n, run):
        partitions = [{"k": k} for k in keys]
        return stage(table, "SELECT $n::BIGINT AS n", partitions, run, unused=["k"], parameters={"n": n})

    publish(table, staged("abc", 0, 0), run_id(0))
    pieces, others = staged("ab", 1, 1), [pa.table({"k": ["z", "a"], "n": [7, 7]})]
    kind = type(lake.catalog)
    commit = kind.commit_table

    def beaten(self, *arguments):
        if others:
            lake.table(name).append(others.pop())
        return commit(self, *arguments)

    monkeypatch.setattr(kind, "commit_table", beaten)
    done = publish(table, pieces, run_id(1))
    assert publish(table, pieces, run_id(1)) == done
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 1), ("c", 0), ("z", 7)]
    assert len(lake.table(name).snapshots()) == 3


@pytest.mark.skipif(not OLD, reason="this Airflow has SQLAlchemy 2")
def test_where_sqlalchemy_is_too_old_that_is_said(properties):
    with pytest.raises(TargetError, match="SQL catalogs need SQLAlchemy 2, which Airflow 2 doesn't have"):
        look("lake.flights", "in_sql", {})
