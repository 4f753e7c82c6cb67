from __future__ import annotations

import inspect

import pytest

from airflow_mapping_kit import generators, tables, task_groups
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator

TAKERS = [
    DuckDBPartitionOperator,
    S3MoveKeysOperator,
    *(getattr(generators, name) for name in generators.__all__),
    tables.delta_table,
    tables.ducklake_table,
    task_groups.s3_to_snowflake,
]


def defaults():
    for taker in TAKERS:
        parameter = inspect.signature(getattr(taker, "function", taker)).parameters.get("aws_conn_id")
        if parameter is not None:
            name = getattr(taker, "__name__", None) or taker.function.__name__
            yield pytest.param(parameter.default, id=name)


@pytest.mark.parametrize("default", defaults())
def test_the_connection_to_s3_is_by_default_airflows_everywhere(default):
    assert default == "aws_default"
