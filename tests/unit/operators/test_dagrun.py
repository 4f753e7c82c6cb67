"""The plan of child runs: what they are called, what they are told, and what is refused before any is started."""

from __future__ import annotations

import re

import pendulum
import pytest
from airflow.models.dagrun import DagRun

from airflow_mapping_kit.exceptions import ChildRunError
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator
from airflow_mapping_kit.operators.dagrun.plan import Parent, planned, run_id_of
from airflows import DAG, DagRunType

PARENT = Parent("shop", "scheduled__2024-01-01T00:00:00+00:00", "ship", -1)


def plan(items, conf=None, item_key="item"):
    return planned(items, conf=conf, item_key=item_key, parent=PARENT)


def test_a_run_is_told_its_item_beside_what_all_are_told_and_nothing_is_pasted():
    (one, other) = plan([17, {"id": "{{ 1 + 1 }}"}], conf={"date": "2024-01-01"}, item_key="order")
    assert (one.key, one.conf) == ("order=17", {"date": "2024-01-01", "order": 17})
    assert (other.key, other.conf) == ("id={{ 1 + 1 }}".replace("{", "%7B"), {
        "date": "2024-01-01", "order": {"id": "{{ 1 + 1 }}"}
    })  # fmt: skip


def test_the_entries_of_an_item_are_the_conf_where_no_name_is_wanted():
    (run,) = plan([{"origin": "EWR", "day": 1}], conf={"date": "2024-01-01"}, item_key=None)
    assert (run.key, run.conf) == ("day=1/origin=EWR", {"date": "2024-01-01", "origin": "EWR", "day": 1})


def test_equal_items_have_runs_of_their_own():
    runs = plan(["a", "b", "a"])
    assert [run.key for run in runs] == ["item=a", "item=b", "item=a#2"]
    assert len({run.run_id for run in runs}) == 3


@pytest.mark.parametrize(
    "key", ["order=17", "path=a%2Fb/x=1", "name=Zürich 東京", f"text={'x' * 500}", "x=\n", "a=../../b"]
)
def test_a_run_id_is_one_for_airflow_and_names_a_folder_of_logs(key):
    parent = PARENT._replace(dag_id="d" * 250, run_id=f"manual__{'9' * 240}")
    for run_id in (run_id_of(PARENT, key), run_id_of(parent, key)):
        assert DagRun(dag_id="child", run_id=run_id).run_id == run_id
        assert len(f"run_id={run_id}") <= 250
        assert DagRunType.from_run_id(run_id) is DagRunType.MANUAL
        assert "/" not in run_id


def test_a_run_id_can_be_read():
    assert re.fullmatch(
        r"per_item__shop__scheduled__2024-01-01T00:00:00\+00:00__order-17__[0-9a-f]{16}",
        run_id_of(PARENT, "order=17"),
    )


def test_a_run_id_is_the_same_each_time_and_another_for_each_part_of_what_it_belongs_to():
    others = [
        PARENT._replace(**changed)
        for changed in ({"dag_id": "shop2"}, {"run_id": "manual__1"}, {"task_id": "send"}, {"map_index": 0})
    ]
    ids = [run_id_of(parent, "item=1") for parent in (PARENT, *others)] + [run_id_of(PARENT, "item=2")]
    assert len(set(ids)) == 6
    assert ids == [run_id_of(parent, "item=1") for parent in (PARENT, *others)] + [
        run_id_of(PARENT, "item=2")
    ]
    # Were it another in the kit's next version, a task that is retried after the upgrade would start all twice.
    assert ids[0].endswith("__item-1__cff5f71734ec9db4")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"items": "[1, 2]"}, r"items='\[1, 2\]' is no list.*a template has to leave text that is one"),
        ({"items": {"a": 1}}, "items={'a': 1} is no list"),
        ({"items": None}, "items=None is no list"),
        ({"items": [1, {2}]}, r"items\[1\] = \{2\} with conf=\{\} is no JSON"),
        ({"items": [1], "conf": [2]}, r"conf=\[2\] is no dict"),
        ({"items": [1], "conf": {"x": object}}, r"items\[0\] = 1 with conf=.* is no JSON"),
        ({"items": [1], "conf": {"item": 2}}, r"conf and items\[0\] both have 'item'"),
        (
            {"items": [{"a": 1}, {"b": 1}], "conf": {"b": 2}, "item_key": None},
            r"conf and items\[1\] both have 'b'",
        ),
        ({"items": [1], "item_key": None}, r"items\[0\] is 1, which has no names"),
        ({"items": [1], "item_key": ""}, "item_key='': give a name"),
        ({"items": [1], "max_in_flight": 0}, "max_in_flight=0: give a number of runs from 1"),
        ({"items": [1], "max_in_flight": True}, "max_in_flight=True"),
        (
            {"items": [1], "max_in_flight": 2, "wait_for_completion": False},
            "max_in_flight=2 with wait_for_completion=False: a task that doesn't wait",
        ),
        ({"items": [1], "allowed_states": "success"}, "allowed_states='success': give a list of states"),
        ({"items": [1], "failed_states": ["skipped"]}, r"failed_states=\['skipped'\]: give a list of states"),
        (
            {"items": [1], "allowed_states": ["success", "failed"]},
            "allowed_states and failed_states both have 'failed'",
        ),
        ({"items": [1], "poke_interval": 0}, "poke_interval=0: give seconds above 0"),
        ({"items": [1], "poke_interval": True}, "poke_interval=True"),
        ({"items": [1], "poke_interval": "5"}, "poke_interval='5'"),
        ({"items": [1], "trigger_dag_id": "shop"}, "trigger_dag_id='shop' is the DAG of ship itself"),
    ],
)
def test_what_can_be_known_when_the_dag_is_parsed_is_said_then(arguments, said):
    with (
        DAG("shop", schedule=None, start_date=pendulum.datetime(2024, 1, 1)),
        pytest.raises(ChildRunError, match=said),
    ):
        TriggerDagRunPerItemOperator(task_id="ship", **{"trigger_dag_id": "child", **arguments})


def test_templates_and_what_tasks_return_wait_for_their_values():
    with DAG("shop", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        templated = TriggerDagRunPerItemOperator(
            task_id="ship",
            trigger_dag_id="{{ params.child }}",
            items=["{{ ds }}"],
            conf={"by": "{{ run_id }}"},
        )
        mapped = TriggerDagRunPerItemOperator.partial(task_id="mapped", trigger_dag_id="child").expand(
            items=[[1, 2], [3]]
        )
    templated.render_template_fields({"params": {"child": "orders"}, "ds": "2024-01-01", "run_id": "r"})
    assert (templated.trigger_dag_id, templated.items, templated.conf) == (
        "orders",
        ["2024-01-01"],
        {"by": "r"},
    )
    assert mapped.operator_class is TriggerDagRunPerItemOperator
    assert set(dag.task_ids) == {"ship", "mapped"}
