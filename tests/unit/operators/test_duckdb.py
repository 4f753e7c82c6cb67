from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_mapping_kit.exceptions import PartitionError, QueryError
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator


def operator(**arguments):
    given = {"task_id": "load", "sql": "SELECT 1", "partition": {"day": "mon"}, "target": "lake", **arguments}
    return DuckDBPartitionOperator(**given)


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("on_empty", "ignore", QueryError, "on_empty='ignore' is none of 'fail', 'skip', 'replace'"),
        ("threads", 0, QueryError, "threads=0 is no number of threads: write 1 or more"),
        ("threads", "many", QueryError, "threads='many' is no number of threads"),
        ("threads", True, QueryError, "threads=True is no number of threads"),
        (
            "compression",
            "zip",
            QueryError,
            "compression='zip' is none of 'uncompressed', 'snappy', 'gzip', 'zstd'",
        ),
        ("compression", 3, QueryError, "compression=3 is none of"),
        (
            "row_group_size",
            "1000",
            QueryError,
            "row_group_size='1000' is no number of rows: write such as 122880",
        ),
        ("row_group_size", 0, QueryError, "row_group_size=0 is no number of rows"),
        (
            "file_size_bytes",
            "large",
            QueryError,
            "file_size_bytes='large' is no size: write a number of bytes, or",
        ),
        ("file_size_bytes", 0, QueryError, "file_size_bytes=0 is no size"),
        ("schema", {}, QueryError, r"schema=\{\} is no dict of columns: write"),
        ("schema", {"a": 1}, QueryError, "schema: 'a': 1 is no column: write its name and DuckDB's type"),
        (
            "schema",
            {"a": "INTEGER", "A": "INTEGER"},
            QueryError,
            "schema: 'a' and 'A' are one column to DuckDB",
        ),
        ("extensions", "httpfs", QueryError, r"extensions='httpfs' is text: write the list \['httpfs'\]"),
        ("extensions", ["h'; DROP"], QueryError, 'extensions: "h\'; DROP" is no name of a DuckDB extension'),
        ("settings", {"a = 1; --": 1}, QueryError, "settings: 'a = 1; --' is no name of a DuckDB setting"),
        (
            "settings",
            {"Threads": 2},
            QueryError,
            "settings: 'Threads' can't be set here: give threads= to the",
        ),
        (
            "settings",
            {"s3_secret_access_key": "x"},
            QueryError,
            "keep it in an Airflow connection, .* aws_conn_id=",
        ),
        ("settings", {"temp_directory": "/"}, QueryError, r"set \[mapping_kit\] scratch_folder"),
        (
            "settings",
            {"http_proxy_password": "x"},
            QueryError,
            "everybody can read it: .* give duckdb_conn_id=",
        ),
        (
            "settings",
            {"http_retries": [1]},
            QueryError,
            r"settings: http_retries=\[1\] is no value of a setting",
        ),
        ("settings", ["http_retries"], QueryError, r"settings=\['http_retries'\] is no dict: write"),
        ("memory_limit", "10%", QueryError, "memory_limit='10%' is no size: write such as '1GiB'"),
        ("memory_limit", "-1GiB", QueryError, "memory_limit='-1GiB' is no size"),
        ("memory_limit", 1000, QueryError, "memory_limit=1000 is no size"),
        ("file_size_bytes", "0MB", QueryError, "file_size_bytes='0MB' is no size"),
        ("row_group_size", 2**64, QueryError, "row_group_size=18446744073709551616 is no number of rows"),
        ("extensions", 5, QueryError, "extensions=5 is no list: write the names in one"),
        ("unused", [None], QueryError, r"unused=\[None\]: None is no name: write text"),
        ("partition_by", {"day": 1}, PartitionError, r"partition_by=\{'day': 1\} is no list"),
        ("partition_by", "day", PartitionError, r"partition_by='day' is text: write the list \['day'\]"),
        ("unused", "day", QueryError, r"unused='day' is text: write the list \['day'\]"),
        ("timezone", "Mars/Base", PartitionError, "'Mars/Base' is no time zone: pass a name"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_when_the_dag_is_parsed(argument, value, error, message):
    with pytest.raises(error, match=message):
        operator(**{argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("sql", None, QueryError, "sql=None is no text: write one SELECT, or the path of a .sql file"),
        (
            "parameters",
            "{'x': 1}",
            QueryError,
            r"parameters=.* is no dict of names to values: write \{'source'",
        ),
        ("parameters", {1: 2}, QueryError, r"parameters=\{1: 2\} is no dict of names to values"),
        ("partition", None, PartitionError, "partition is None: pass a dict"),
    ],
)
def test_what_a_template_cannot_become_is_refused_before_anything_is_done(argument, value, error, message):
    with pytest.raises(error, match=message):
        operator(**{argument: value}).partitions({})


def test_the_constructor_keeps_what_it_is_given():
    partition = {"day": "mon"}
    built = operator(partition=partition, unused=["day"])
    assert built.partition is partition
    assert (built.unused, built.on_empty, built.memory_limit, built.threads, built.timezone) == (
        ["day"],
        "fail",
        None,
        None,
        None,
    )


def test_importing_the_operator_imports_no_sdk():
    code = (
        "import sys; import airflow.models; before = set(sys.modules)\n"
        "import airflow_mapping_kit.operators.duckdb\n"
        "sdks = {'boto3', 'botocore', 'duckdb', 'pandas', 'pyarrow', 'airflow.providers.amazon'}\n"
        "print(sorted(sdks & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
