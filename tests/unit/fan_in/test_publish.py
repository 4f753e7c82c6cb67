"""What `publish` refuses when a DAG's file is read."""

from __future__ import annotations

import uuid

import pendulum
import pytest

from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.exceptions import FanInError, TargetError
from airflow_mapping_kit.fan_in import publish
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables import iceberg_table
from airflows import DAG, task, task_group


@pytest.fixture
def dag():
    with DAG(f"p{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        yield dag


def loading(target, **arguments):
    return DuckDBPartitionOperator.partial(
        task_id="load", sql="SELECT $d AS d, 1 AS x", target=target, **arguments
    )


def test_it_is_called_after_what_it_publishes_and_the_table_after_its_plan(dag):
    load = loading(iceberg_table("lake.flights", iceberg_conn_id="lake")).expand(partition=product(d=["a"]))
    output = publish(load)
    assert output.operator.task_id == "publish_load"
    assert output.operator.upstream_task_ids == {"load", "table_flights"}
    assert dag.get_task("load").upstream_task_ids == {"table_flights", "product"}
    assert dag.get_task("table_flights").upstream_task_ids == {"product"}


def test_a_plan_that_is_made_of_the_table_comes_after_it(dag):
    table = iceberg_table("lake.flights", iceberg_conn_id="lake")

    @task
    def plan(table): ...

    publish(loading(table).expand(partition=plan(table)))
    assert dag.get_task("table_flights").upstream_task_ids == set()


def test_two_tables_of_a_name_and_one_that_is_known_at_run_time_have_ids_of_their_own(dag):
    names = ["lake.flights", "other.flights", "lake.{{ params.table }}", "s'3"]
    assert [iceberg_table(name).operator.task_id for name in names] == [
        "table_flights",
        "table_flights__1",
        "table_iceberg",
        "table_s_3",
    ]


@pytest.mark.parametrize("target", ["/lake/flights", "s3://lake/flights", {"name": "flights"}])
def test_what_writes_into_no_table_is_collected(dag, target):
    load = loading(target).expand(partition=[{"d": "a"}])
    with pytest.raises(FanInError, match="load writes to .*, which is not a table.*collect"):
        publish(load)


def test_what_has_no_target_is_collected(dag):
    @task
    def empty(x): ...

    with pytest.raises(FanInError, match="empty writes to None, which is not a table"):
        publish(empty.expand(x=["a"]))


def test_one_commit_is_to_one_table(dag):
    load = DuckDBPartitionOperator.partial(task_id="load", sql="SELECT 1 AS x").expand(
        partition=[{"d": "a"}], target=[iceberg_table("lake.flights")]
    )
    with pytest.raises(FanInError, match="load is mapped over tables, but publish commits to a single table"):
        publish(load)


def test_a_table_is_looked_up_outside_of_a_mapped_group(dag):
    @task_group
    def piece(what):
        return DuckDBPartitionOperator(
            task_id="load", sql="SELECT 1 AS x", target=iceberg_table("lake.flights"), partition=what
        )

    load = piece.expand(what=[{"d": "a"}])
    with pytest.raises(FanInError, match=r"piece.load is mapped over tables.*before the mapped task"):
        publish(load)


def test_of_a_group_the_task_is_named_that_stages(dag):
    @task_group
    def piece(what):
        DuckDBPartitionOperator(
            task_id="load", sql="SELECT 1 AS x", target="{{ params.table }}", partition=what
        )

    group = piece.expand(what=[{"d": "a"}])
    with pytest.raises(FanInError, match=r"piece is a group. Pass the task in it that writes to the table"):
        publish(group)


def test_outlets_are_those_of_what_publishes(dag):
    table = iceberg_table("lake.flights")
    load = loading(table, outlets=[Asset("flights")]).expand(partition=[{"d": "a"}])
    with pytest.raises(
        FanInError, match=r"it only stages data, which changes nothing yet. Give the outlets to publish"
    ):
        publish(load)


@pytest.mark.parametrize(
    ("dimensions", "said"),
    [
        ({"date": "dya(departed_at)"}, r"knows no partitions by dya\(\).*\(near: 'day'\)"),
        ({"date": "bucket(16, id)"}, r"knows no partitions by bucket\(\)"),
        ({"date": ""}, "'date': '' says no column"),
        ({"date": 7}, "'date': 7 says no column"),
        (["date"], r"write a dict of dimension to column"),
    ],
)
def test_where_a_dimension_lives_is_read_with_the_dags_file(dag, dimensions, said):
    with pytest.raises(TargetError, match=said):
        iceberg_table("lake.flights", dimensions=dimensions)
