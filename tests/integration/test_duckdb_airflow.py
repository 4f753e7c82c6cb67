"""What Airflow does with the operator's arguments before it runs: rendering, mapping, files of SQL."""

from __future__ import annotations

import uuid

import duckdb
import pendulum
import pytest

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflows import dag, task

STRANGE = "{{ 1 + 1 }}"


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def a_dag(build, **kwargs):
    @dag(dag_id=f"d{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1), **kwargs)
    def built():
        build()

    return built()


def values(lake):
    return duckdb.sql(f"SELECT value FROM '{lake}/**/*.parquet' ORDER BY ALL").fetchall()


@task
def strangers():
    return [{"p": STRANGE}, {"p": "{{ params.secret }}"}, {"p": "a.sql"}]


def test_mapped_partitions_of_a_task_are_never_rendered(dag_test, lake):
    def build():
        load = DuckDBPartitionOperator.partial(task_id="load", sql="SELECT $p AS value", target=str(lake))
        load.expand(partition=strangers())

    instances = dag_test(a_dag(build))
    assert {instances["load", index].state for index in range(3)} == {"success"}
    assert values(lake) == [("a.sql",), (STRANGE,), ("{{ params.secret }}",)]


def test_a_batch_of_a_task_that_is_not_mapped_is_never_rendered(dag_test, lake):
    def build():
        DuckDBPartitionOperator(
            task_id="load", sql="SELECT $p AS value", target=str(lake), partition=strangers()
        )

    instances = dag_test(a_dag(build))
    assert instances["load", -1].state == "success"
    assert values(lake) == [("a.sql",), (STRANGE,), ("{{ params.secret }}",)]


def test_a_value_inside_a_partition_may_come_from_a_task_and_is_never_rendered(dag_test, lake):
    @task
    def stranger():
        return STRANGE

    def build():
        DuckDBPartitionOperator(
            task_id="load", sql="SELECT $p AS value", target=str(lake), partition={"p": stranger()}
        )

    assert dag_test(a_dag(build))["load", -1].state == "success"
    assert values(lake) == [(STRANGE,)]


def test_the_output_of_a_mapped_task_is_a_batch(dag_test, lake):
    @task
    def partition(name):
        return {"p": name}

    def build():
        DuckDBPartitionOperator(
            task_id="load",
            sql="SELECT $p AS value",
            target=str(lake),
            partition=partition.expand(name=["a", "b"]),
        )

    instance = dag_test(a_dag(build))["load", -1]
    assert instance.state == "success"
    assert [result["key"] for result in instance.xcom_pull(task_ids="load")] == ["p=a", "p=b"]


def test_sql_target_and_parameters_are_templates_and_sql_may_be_a_file(dag_test, lake, tmp_path):
    (tmp_path / "row.sql").write_text(
        "SELECT $p AS value, $unit AS doubled, '{{ params.unit }}' AS unit -- {# note #}\n"
    )

    def build():
        DuckDBPartitionOperator(
            task_id="load",
            sql="row.sql",
            target="{{ params.lake }}/{{ dag.dag_id[:1] }}",
            partition={"p": "{{ params.unit }}"},
            parameters={"unit": "{{ params.unit * 2 }}"},
            aws_conn_id="{{ params.conn or '' }}",
        )

    built = a_dag(
        build,
        params={"unit": "km", "lake": str(lake), "conn": None},
        template_searchpath=str(tmp_path),
    )
    assert dag_test(built)["load", -1].state == "success"
    assert duckdb.sql(f"SELECT value, doubled, unit FROM '{lake}/d/p=km/*.parquet'").fetchall() == [
        ("km", "kmkm", "km")
    ]


@pytest.mark.parametrize("mapped", [False, True])
def test_values_that_end_like_a_file_of_sql_are_values(dag_test, lake, tmp_path, mapped):
    (tmp_path / "x.sql").write_text("SELECT $p AS value, $source AS source")

    def build():
        fixed = {"task_id": "load", "target": f"{lake}/a.sql", "parameters": {"source": "{{ 'dump' }}.sql"}}
        if mapped:
            DuckDBPartitionOperator.partial(**fixed).expand(sql=["x.sql"], partition=[{"p": "x.sql"}])
        else:
            DuckDBPartitionOperator(**fixed, sql="x.sql", partition={"p": "x.sql"})

    assert (
        dag_test(a_dag(build, template_searchpath=str(tmp_path)))["load", 0 if mapped else -1].state
        == "success"
    )
    assert duckdb.sql(f"SELECT value, source FROM '{lake}/a.sql/p=x.sql/*.parquet'").fetchall() == [
        ("x.sql", "dump.sql")
    ]


def test_an_empty_list_of_a_task_skips(dag_test, lake):
    @task
    def nothing():
        return []

    def build():
        DuckDBPartitionOperator(
            task_id="load", sql="SELECT $p AS value", target=str(lake), partition=nothing()
        )

    assert dag_test(a_dag(build))["load", -1].state == "skipped"
    assert not lake.exists()


def test_bad_input_is_not_retried(run_of, lake):
    def build():
        DuckDBPartitionOperator(
            task_id="load", sql="SELECT 1 AS x", target=str(lake), partition={"p": "a"}, retries=3
        )

    assert run_of(a_dag(build)).run("load") == ("failed", None)
