"""What failed of a plan as a plan for another task: pieces of any shape, items of batches, wherever the rows are."""

from __future__ import annotations

import pendulum
import pytest

import airflows
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, failed_of, product

START = pendulum.datetime(2024, 1, 1)


@pytest.fixture
def dag(metadata_db, request):
    with airflows.DAG(
        f"second_{request.node.name[:60].replace('[', '_').strip(']')}", schedule=None, start_date=START
    ) as made:
        yield made


def states(run, task_id):
    return [
        one.state
        for one in sorted(run.get_task_instances(), key=lambda one: one.map_index)
        if one.task_id == task_id
    ]


def values(run, task_id="repair"):
    found = [one for one in run.get_task_instances() if one.task_id == task_id and one.map_index >= 0]
    return [airflows.xcom_of(run, task_id, map_index=index) for index in range(len(found))]


def all_tolerated(mapped, **arguments):
    return collect(mapped, tolerated_failure_percentage=100, **arguments)


@airflows.task
def repair(given):
    return given


def test_partitions_that_failed_are_those_that_the_task_got_and_no_others(dag):
    @airflows.task
    def load(partition):
        if partition["n"] != 2:
            raise ValueError(partition["origin"])

    report = all_tolerated(load.expand(partition=product(n=[1, 2, 3], origin=["EWR"])))
    collect(repair.expand(given=failed_of(report)))
    run = airflows.dag_test(dag)
    assert values(run) == [{"n": 1, "origin": "EWR"}, {"n": 3, "origin": "EWR"}]
    assert airflows.xcom_of(run, "collect_repair")["succeeded"] == 2


def test_of_several_arguments_they_are_dicts_of_them_for_expand_kwargs(dag):
    @airflows.task
    def load(given, by):
        if (given, by) != ("a", 1):
            raise ValueError(given)

    @airflows.task
    def again(given, by):
        return [given, by]

    again.expand_kwargs(failed_of(all_tolerated(load.expand(given=["a", "b"], by=[1, 2]))))
    assert values(airflows.dag_test(dag), "again") == [["a", 2], ["b", 1], ["b", 2]]


@pytest.mark.parametrize("max_result_kb", ["1024", "1"], ids=["inline", "among_xcoms"])
def test_of_batches_they_are_items_wherever_their_rows_are(dag, monkeypatch, max_result_kb):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", max_result_kb)
    orders = [{"id": number, "name": "x" * 40} for number in range(60)]

    @airflows.task.batched
    def ship(order):
        if order["id"] % 20 == 3:
            raise ValueError(f"no {order['id']}")
        return "y" * 40

    report = all_tolerated(ship.expand(order=batches(orders, batch_size=30)))
    repair.expand(given=failed_of(report))
    run = airflows.dag_test(dag)
    assert ("results" in airflows.xcom_of(run, "collect_ship")) == (max_result_kb == "1024")
    assert [order["id"] for order in values(run)] == [3, 23, 43]
    assert values(run)[0] == orders[3]


def test_for_a_batched_task_they_come_in_batches(dag):
    @airflows.task
    def load(n):
        raise ValueError(n)

    @airflows.task.batched
    def again(n):
        return n * 10

    again.expand(n=failed_of(all_tolerated(load.expand(n=[1, 2, 3])), batch_size=2))
    run = airflows.dag_test(dag)
    assert [[row["value"] for row in one] for one in values(run, "again")] == [[10, 20], [30]]


def test_where_nothing_failed_what_is_mapped_over_it_is_skipped(dag):
    @airflows.task
    def load(n):
        return n

    repair.expand(given=failed_of(all_tolerated(load.expand(n=[1, 2]))))
    run = airflows.dag_test(dag)
    assert states(run, "repair") == ["skipped"]
    assert run.state == "success"


def test_more_than_airflow_maps_over_is_said(dag, monkeypatch, caplog):
    @airflows.task
    def load(n):
        raise ValueError(n)

    repair.expand(given=failed_of(all_tolerated(load.expand(n=[1, 2, 3]))))
    # What is mapped over a literal is as long as it is.
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    run = airflows.dag_test(dag)
    assert states(run, "failed_of") == ["failed"]
    assert "failed_of made 3 pieces, and a task maps directly over them" in caplog.text


def test_what_can_not_be_mapped_over_again_is_refused_when_the_dag_is_parsed(dag):
    @airflows.task
    def load(n): ...

    @airflows.task.batched
    def first(n): ...

    @airflows.task.batched
    def second(n): ...

    with pytest.raises(PlanError, match="load is mapped over a list with templates"):
        failed_of(all_tolerated(load.expand(n=["{{ ds }}"])))
    done = first.expand(n=batches([1, 2, 3], batch_size=2))
    with pytest.raises(
        PlanError, match="second takes the output of another batched task.* of the first task"
    ):
        failed_of(all_tolerated(second.expand(n=done)))
    failed_of(all_tolerated(done))


def test_only_the_report_of_a_fan_in_says_what_failed(dag):
    @airflows.task
    def other():
        return {}

    with pytest.raises(PlanError, match="only the report of a fan-in says which pieces have failed"):
        failed_of(other())
