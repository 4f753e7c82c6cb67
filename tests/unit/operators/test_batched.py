"""What `@task.batched` refuses and says when a DAG is parsed."""

from __future__ import annotations

import uuid
import warnings
from datetime import timedelta

import pendulum
import pytest

from airflow_mapping_kit.exceptions import PlanError, ResultError
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import BatchedOperator, batched
from airflow_mapping_kit.operators.batched.results import Room
from airflow_mapping_kit.operators.batched.settings import item_parameter
from airflows import AIRFLOW_3, DAG, task


def ship(order, api=None):
    """Ship."""


@pytest.fixture(autouse=True)
def dag():
    with DAG(f"b{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:
        yield built


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"concurrency": 0}, "concurrency=0: give a whole number of at least 1."),
        ({"concurrency": 1_001}, "concurrency=1001: give a whole number from 1 to 1,000."),
        ({"concurrency": True}, "concurrency=True"),
        ({"concurrency": "4"}, "concurrency='4'"),
        ({"item_retries": -1}, "item_retries=-1: give a whole number of at least 0."),
        ({"stop_after": 0}, "stop_after=0: give a whole number of at least 1."),
        ({"item_timeout": 0}, "item_timeout=0: give seconds above 0, or a timedelta."),
        ({"item_timeout": timedelta(seconds=-1)}, "item_timeout="),
        ({"item_retry_delay": "soon"}, "item_retry_delay='soon'"),
        ({"key": ""}, "key='': give the name of a field of the items, or a list of names: key='id'."),
        ({"key": []}, "key=[]: give the name"),
        ({"key": ["id", "id"]}, "key=['id', 'id']: give the name"),
        ({"key": [1]}, "key=[1]: give the name"),
        ({"multiple_outputs": True}, "multiple_outputs=True: a batched task returns one list."),
    ],
)
def test_a_setting_that_cannot_be_is_refused_where_the_function_is_decorated(settings, said):
    with pytest.raises(PlanError) as error:
        batched(**settings)(ship)
    assert said in str(error.value)


def test_a_setting_that_was_overridden_is_refused_where_the_task_is_mapped():
    with pytest.raises(PlanError, match="concurrency=0"):
        batched(ship).override(concurrency=0).expand(order=batches([1], batch_size=1))
    with pytest.raises(PlanError, match="concurrency=0"):
        BatchedOperator(task_id="ship", python_callable=ship, op_kwargs={"order": [1]}, concurrency=0)


def test_keys_for_items_that_have_them_from_the_task_before_are_refused():
    shipped = batched(ship).expand(order=batches([1], batch_size=1))
    with pytest.raises(PlanError, match=r"ship: key='id' has no effect.* Set key= there\."):
        batched(key="id")(ship).expand(order=shipped)


def test_a_function_without_a_parameter_for_an_item_is_refused():
    def nothing(): ...
    def everything(*args, **kwargs): ...
    def context(ti, params=None): ...

    for function in (nothing, everything, context):
        with pytest.raises(
            PlanError, match=rf"{function.__name__}\(\) has no parameter that could take an item"
        ):
            batched(function)


def test_the_item_is_the_first_parameter_that_airflow_has_no_value_for():
    def by_name_after(*, ti, order): ...
    def by_name(*, order): ...

    assert [item_parameter(function) for function in (ship, by_name_after, by_name)] == ["order"] * 3


@pytest.mark.parametrize(
    ("literals", "said"),
    [
        ([[1, 2], 3], "3 is no batch"),
        ([[1, 2], "ab"], "'ab' is no batch"),
        ([[1], []], r"\[\] is no batch"),
        ([{"id": 1}], r"\{'id': 1\} is no batch"),
    ],
)
def test_literals_that_are_no_batches_are_refused(literals, said):
    with pytest.raises(PlanError, match=said) as error:
        batched(ship).expand(order=literals)
    assert "batches(items, batch_size=50)" in str(error.value)


@pytest.mark.skipif(AIRFLOW_3, reason="there they have a checkpoint too")
def test_literal_batches_are_warned_of_in_the_line_of_the_dag_file():
    with pytest.warns(UserWarning, match="ship is mapped over literal batches") as warned:
        batched(ship).expand(order=[[1, 2], [3]])
    assert warned[0].filename == __file__
    assert "nowhere to keep a checkpoint" in str(warned[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batched(ship).expand(order=batches([1, 2, 3], batch_size=2))


def test_airflow_knows_it_as_a_decorator_of_the_provider():
    assert task.batched(concurrency=2)(ship).function is ship
    mapped = task.batched(ship).partial(api="http://a").expand(order=batches([1], batch_size=1)).operator
    assert mapped.operator_class is BatchedOperator
    assert mapped.operator_name == "@task.batched"
    assert mapped.map_index_template == label()


def test_settings_and_arguments_of_the_operator_are_the_authors():
    built = batched(concurrency=3, retries=7, map_index_template="mine")(ship)
    mapped = built.override(pool="ships").expand(order=batches([1], batch_size=1)).operator
    assert mapped.partial_kwargs["concurrency"] == 3
    assert (mapped.retries, mapped.pool, mapped.map_index_template) == (7, "ships", "mine")


class TestWhatAnItemReturned:
    @pytest.mark.parametrize(
        "value", [None, 1, "ä", {"a": [1.5, True]}, [None], (1, 2), pendulum.datetime(2024, 1, 1)]
    )
    def test_is_kept_if_an_xcom_gives_it_back(self, value):
        kept = Room(1, in_all=False).kept(value)
        assert (None if kept is None else kept.value) == value

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ({1, 2, object()}, "set can't be an XCom"),
            ([lambda: 1], "list can't be an XCom"),
            ({"__classname__": "os.system"}, "dict can't be an XCom"),
        ],
    )
    def test_is_refused_if_it_cannot_be_written_or_read(self, value, said):
        with pytest.raises(ResultError, match=said):
            Room(1, in_all=False).kept(value)

    def test_is_refused_if_the_batch_has_no_room_left_for_it_and_the_next_is_not(self):
        room = Room(1, in_all=True)
        room.kept("a" * 600)
        with pytest.raises(ResultError) as error:
            room.kept("b" * 600)
        assert "not kept: the results of a batch have 1 KiB in all ([mapping_kit] max_result_kb)" in str(
            error.value
        )
        assert room.kept("c" * 100).value == "c" * 100

    def test_is_refused_where_it_alone_is_too_large_and_any_number_of_others_is_not(self):
        room = Room(1, in_all=False)
        assert all(room.kept("a" * 1_000).value for _ in range(100))
        with pytest.raises(ResultError, match="its result of 2 KiB is not kept: one result has 1 KiB"):
            room.kept("b" * 2_000)
