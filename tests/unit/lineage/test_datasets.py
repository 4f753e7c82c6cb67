"""The names of datasets are those that everybody else has for the same place, and tell nobody how to log in there."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mapping_kit.lineage.datasets import Dataset, dataset_of, dataset_of_table, sources_of
from airflow_mapping_kit.operators.duckdb.sources import files_read


@pytest.mark.parametrize(
    ("place", "namespace", "name"),
    [
        ("/data/lake/", "file", "/data/lake"),
        ("lake/flights", "file", str(Path.cwd() / "lake/flights")),
        ("file:///data/lake", "file", "/data/lake"),
        ("s3://lake/flights/", "s3://lake", "flights"),
        ("s3://aws_default@lake/a/b", "s3://lake", "a/b"),
        ("s3a://lake/a", "s3://lake", "a"),
        ("s3://lake", "s3://lake", "/"),
        ("gs://google@lake/flights", "gs://lake", "flights"),
        ("gcs://lake/flights", "gs://lake", "flights"),
        ("az://azure@container/flights", "abfss://container", "flights"),
        ("https://user:kept@example.com/a.csv?token=kept#kept", "https://example.com", "/a.csv"),
    ],
)
def test_a_place_has_the_name_that_the_specification_gives_it(place, namespace, name):
    assert dataset_of(place) == Dataset(namespace, name)


def test_globs_and_directories_of_partitions_are_their_folder():
    paths = [
        "s3://raw/flights/year=*/day=1/*.csv",
        "s3://raw/flights/origin=EWR/a.csv",
        "/raw/a.csv",
        "/raw/[ab].csv",
        "*",
        "*.csv",
    ]
    assert sources_of(paths) == [
        Dataset("s3://raw", "flights"),
        Dataset("file", "/raw/a.csv"),
        Dataset("file", "/raw"),
    ]


@pytest.mark.parametrize(
    ("sql", "paths"),
    [
        ("SELECT * FROM 'data/a.parquet' JOIN t USING (n) WHERE d = $d", ["data/a.parquet"]),
        ("SELECT * FROM read_csv('/raw/' || $customer || '.csv')", ["/raw/*.csv"]),
        ("SELECT * FROM read_parquet(['s3://b/x.parquet', 's3://b/y.parquet'])", ["s3://b/x.parquet", "s3://b/y.parquet"]),
        ("SELECT * FROM read_csv($source, header = true)", ["/in/a.csv"]),
        ("SELECT * FROM read_csv($list)", ["/in/b.csv", "/in/c.csv"]),
        ("WITH a AS (FROM '/x.csv') SELECT * FROM a WHERE n IN (SELECT n FROM '/y.json')", ["/x.csv", "/y.json"]),
        ("SELECT * FROM read_csv(format('/raw/{}.csv', $customer))", ["*"]),
        ("SELECT $d AS d, 'not/a/path.csv' AS text FROM range(3)", []),
        ("PIVOT 'a.csv' ON b", []),
    ],
)  # fmt: skip
def test_the_files_of_a_query_are_known_as_far_as_it_names_them(sql, paths):
    assert files_read(sql, {"source": "/in/a.csv", "list": ["/in/b.csv", "/in/c.csv"]}) == paths


def test_a_table_is_where_its_files_are_and_what_its_catalog_calls_it():
    table = {
        "mapping_kit_table": "iceberg",
        "name": "lake.flights",
        "conn_id": "lake",
        "uri": "s3://warehouse/lake/flights/data",
        "location": "s3://warehouse/lake/flights/data/mapping-kit",
    }
    assert dataset_of_table(table, 77) == Dataset(
        "s3://warehouse", "lake/flights", ("iceberg:lake", "lake.flights"), "77"
    )
