"""Where an instance leaves the rows for a table, and what it leaves there if it fails."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables.staged import prefix, run_of
from airflows import DAG, AirflowFailException, AirflowSkipException
from instances import INSTANCE

PARTITION = {"origin": "EWR", "date": "2013-01-01"}
COLUMNS = [
    {"name": "at", "type": "DATE", "required": True},
    {"name": "origin", "type": "VARCHAR"},
    {"name": "n", "type": "BIGINT"},
]


def table(location, **more):
    homes = {"date": {"column": "at", "transform": None}}
    return {
        "mapping_kit_table": "delta",
        "name": "lake.flights",
        "location": str(location),
        "columns": COLUMNS,
        "dimensions": homes,
        **more,
    }


@pytest.fixture
def stage():
    def run(target, sql="SELECT range AS n FROM range(3)", **arguments):
        given = {"unused": list(PARTITION), "partition": PARTITION, **arguments}
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", sql=sql, target=target, **given)
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def test_a_file_of_a_name_of_its_own_lies_in_the_folder_of_the_run(stage, tmp_path):
    first, second = stage(table(tmp_path)), stage(table(tmp_path))
    assert first["key"] == "date=2013-01-01/origin=EWR"
    assert first["partition"] == PARTITION
    assert first["rows"] == 3
    folder = Path(prefix(table(tmp_path), run_of("none", "run", "load")))
    assert files(tmp_path) == sorted([Path(first["path"]), Path(second["path"])])
    assert {path.parent for path in files(tmp_path)} == {folder}
    assert first["bytes"] == Path(first["path"]).stat().st_size
    rows = duckdb.sql(f"FROM read_parquet('{first['path']}')").fetchall()
    assert rows == [(date(2013, 1, 1), "EWR", n) for n in range(3)]


def test_where_a_table_takes_partitions_from_the_path_it_is_called_after_columns(stage, tmp_path):
    path = Path(
        stage(table(tmp_path, hive=["at", "origin"]), partition={**PARTITION, "origin": None})["path"]
    )
    folder = Path(prefix(table(tmp_path), run_of("none", "run", "load")))
    assert path.parent == folder / "at=2013-01-01" / "origin=__HIVE_DEFAULT_PARTITION__"


@pytest.mark.parametrize(
    ("on_empty", "sql", "error"),
    [
        ("fail", "SELECT 1 AS n WHERE false", AirflowFailException),
        ("skip", "SELECT 1 AS n WHERE false", AirflowSkipException),
        ("fail", "SELECT 'JFK' AS origin", AirflowFailException),
        ("fail", "SELECT 1 AS m", AirflowFailException),
    ],
)
def test_what_is_refused_leaves_no_file(stage, tmp_path, on_empty, sql, error):
    with pytest.raises(error):
        stage(table(tmp_path), sql, on_empty=on_empty)
    assert files(tmp_path) == []


def test_no_rows_are_no_file(stage, tmp_path):
    staged = stage(table(tmp_path), "SELECT 1 AS n WHERE false", on_empty="replace")
    assert (staged["path"], staged["rows"]) == (None, 0)
    assert files(tmp_path) == []


def test_directories_have_no_order_where_there_are_none(stage, tmp_path):
    with pytest.raises(
        AirflowFailException, match="the target is the table lake.flights, which has none: leave it out"
    ):
        stage(table(tmp_path), partition_by=["date", "origin"])


def test_a_folder_that_cannot_be_is_named_with_the_table(stage, tmp_path):
    (tmp_path / "mapping-kit").write_text("in the way")
    with pytest.raises(
        AirflowFailException, match="can't write to .*: Not a directory. Check the location of the table"
    ):
        stage(table(tmp_path))


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_in_a_bucket_it_is_uploaded_whole(stage, s3_client, s3_bucket, s3_conn, tmp_path, scheme):
    staged = stage(table(f"{scheme}://{s3_bucket}/lake/flights"), aws_conn_id=s3_conn)
    assert staged["path"].startswith(f"{scheme}://{s3_bucket}/lake/flights/mapping-kit/")
    key = staged["path"].removeprefix(f"{scheme}://{s3_bucket}/")
    copy = tmp_path / "copy.parquet"
    s3_client.download_file(s3_bucket, key, str(copy))
    assert copy.stat().st_size == staged["bytes"]
    assert duckdb.sql(f"SELECT count(*), sum(n) FROM '{copy}'").fetchall() == [(3, 3)]
    with pytest.raises(AirflowFailException, match="belongs to another partition"):
        stage(table(f"s3://{s3_bucket}/lake/flights"), "SELECT 'JFK' AS origin", aws_conn_id=s3_conn)
    assert [one["Key"] for one in s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]] == [key]


def test_a_bucket_that_is_not_there_is_named(stage, s3_conn):
    with pytest.raises(AirflowFailException, match="NoSuchBucket.*check the bucket's name"):
        stage(table("s3://no-such-bucket-at-all/lake"), aws_conn_id=s3_conn)
