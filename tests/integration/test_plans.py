"""The kit's reading of a plan is what Airflow hands to the instances, in every shape, from serialized DAGs too."""

from __future__ import annotations

import json
import uuid

import pendulum
import pytest

from airflow_mapping_kit.compat import expand_input_of
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.planned import Plan, calls_functions, sources
from airflow_mapping_kit.reading import tables
from airflows import AirflowSkipException, BaseOperator, dag, dag_test, scheduler_dag, task, task_group


class EchoOperator(BaseOperator):
    """Return what it was mapped over."""

    def __init__(self, *, one, two=None, **kwargs):
        super().__init__(**kwargs)
        self.one = one
        self.two = two

    def execute(self, context):
        return {"one": self.one, "two": self.two} if self.two is not None else {"one": self.one}


def skip_odd(number):
    if number % 2:
        raise AirflowSkipException
    return number * 10


def build():
    @task
    def numbers():
        return [1, 2, 3]

    @task
    def letters():
        return ["a", "b"]

    @task
    def table():
        return {"x": 1, "y": [2]}

    @task
    def entries():
        return [{"one": 1, "two": {"k": "v"}}, {"two": None, "one": []}]

    @task
    def entry():
        return {"one": "from an output", "two": 2}

    @task
    def echo(one=None, two=None, **_):
        return {name: value for name, value in (("one", one), ("two", two)) if value is not None}

    def shape(name):
        return echo.override(task_id=name, trigger_rule="all_done")

    n, m = numbers(), letters()
    shape("plain").expand(one=n)
    shape("items").expand(one=table())
    shape("literal").expand(one=["p", {"q": 1}, [2]])
    shape("literal_items").expand(one={"a": 1, "b": 2})
    shape("crossed").expand(two=n, one=m)
    shape("crossed_with_literal").expand(two=["z", "y"], one=n)
    shape("zipped").expand(one=n.zip(m))
    shape("filled").expand(one=n.zip(m, fillvalue="?"))
    shape("concatenated").expand(one=n.concat(m, n))
    shape("mapped").expand(one=n.map(lambda number: number + 1).map(lambda number: f"n{number}"))
    shape("mapped_zip").expand(one=n.zip(m).map(lambda pair: f"{pair[0]}{pair[1]}"))
    shape("skipping").expand(one=n.map(skip_odd))
    shape("kwargs").expand_kwargs(entries())
    shape("literal_entries").expand_kwargs([{"one": 1}, entry(), {"two": 2}])
    shape("mapped_entries").expand_kwargs(n.map(lambda number: {"one": number, "two": -number}))
    chained = shape("chained").expand(one=shape("before").expand(one=n))
    shape("chained_again").expand(two=m, one=chained)
    EchoOperator.partial(task_id="classic").expand(two=m, one=n)
    EchoOperator.partial(task_id="classic_entries").expand_kwargs(entries())

    @task_group
    def group(one, two):
        shape("inside")(one=one, two=two)

    group.expand(two=m, one=n)


@pytest.fixture(scope="module")
def run_once(metadata_db):
    @dag(dag_id=f"p{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def plans():
        build()

    declared = plans()
    return declared, dag_test(declared)


def got(run, task_id):
    """Return what each instance got, by map index; those that were skipped by a function got nothing."""
    found = tables.xcoms(run.dag_id, run.run_id, [(task_id, "return_value")])
    return found[task_id, "return_value"]


def plan_of(run, operator, order=None):
    expand_input = expand_input_of(operator)
    found = tables.pushed(run.dag_id, run.run_id, sources(expand_input))
    return Plan(expand_input, found.get, order=order)


def plain(value):
    return json.loads(json.dumps(value))


SHAPES = {
    "plain": 3,
    "items": 2,
    "literal": 3,
    "literal_items": 2,
    "crossed": 6,
    "crossed_with_literal": 6,
    "zipped": 2,
    "filled": 3,
    "concatenated": 8,
    "mapped": 3,
    "mapped_zip": 2,
    "skipping": 3,
    "kwargs": 2,
    "literal_entries": 3,
    "mapped_entries": 3,
    "chained": 3,
    "chained_again": 6,
    "classic": 6,
    "classic_entries": 2,
    "group.inside": 6,
}


@pytest.mark.parametrize(("task_id", "length"), SHAPES.items())
def test_a_plan_holds_what_the_instances_got(run_once, task_id, length):
    declared, run = run_once
    plan = plan_of(run, declared.get_task(task_id))
    assert len(plan) == length
    received = got(run, task_id)
    for index, piece in enumerate(plan):
        if index in received:
            shown = {name: value for name, value in piece.items() if value is not None}
            assert plain(shown) == plain(received[index])
    if task_id == "skipping":
        # What the function was given names the piece that it skipped.
        assert [piece["one"] for piece in plan] == [1, 20, 3]
        assert list(received) == [1]
    else:
        assert list(received) == list(range(length))


@pytest.mark.parametrize("task_id", SHAPES)
def test_a_serialized_dag_gives_the_same_plan(run_once, task_id):
    declared, run = run_once
    operator = scheduler_dag(declared).get_task(task_id)
    expand_input = expand_input_of(operator)
    declared_input = expand_input_of(declared.get_task(task_id))
    assert sources(expand_input) == sources(declared_input)
    assert calls_functions(expand_input.value) == calls_functions(declared_input.value)
    if calls_functions(expand_input.value):
        return
    order = list(declared_input.value) if isinstance(declared_input.value, dict) else None
    assert plain(list(plan_of(run, operator, order))) == plain(list(plan_of(run, declared.get_task(task_id))))


def test_a_plan_whose_source_is_gone_says_which(run_once):
    declared, _ = run_once
    with pytest.raises(PlanError, match="numbers has no XCom 'return_value' in this run"):
        Plan(expand_input_of(declared.get_task("plain")), lambda source: None)
    with pytest.raises(PlanError, match="Airflow cannot map over int"):
        Plan(expand_input_of(declared.get_task("plain")), lambda source: 1)


def test_an_index_that_no_piece_has_is_an_error(run_once):
    declared, run = run_once
    plan = plan_of(run, declared.get_task("crossed"))
    for index in (-1, 6):
        with pytest.raises(IndexError):
            plan[index]
