from __future__ import annotations

import inspect

import pendulum
import pytest

from airflow_mapping_kit import generators, partitions
from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.reload import reload_partitions
from airflows import dag


def in_a_dag(build):
    """Parse a DAG whose body is the function."""

    @dag(dag_id="parsed", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def parsed():
        build()

    return parsed()


@pytest.mark.parametrize("name", ["date_range", "product", "zipped", "batches"])
def test_a_generator_takes_what_its_pure_namesake_takes(name):
    task, pure = getattr(generators, name), getattr(partitions, name)
    assert inspect.signature(task.function) == inspect.signature(pure)
    assert task.kwargs["task_id"] == name


def test_a_second_call_gets_a_number():
    def build():
        generators.product(x=[1])
        generators.product(x=[2])

    assert set(in_a_dag(build).task_ids) == {"product", "product__1"}


def test_override_names_and_configures_the_task():
    def build():
        generators.product.override(task_id="pairs", retries=7, task_display_name="Paare", on_empty="fail")(
            x=[1]
        )

    task = in_a_dag(build).get_task("pairs")
    assert (task.retries, task.task_display_name, task.on_empty) == (7, "Paare", "fail")


def test_the_docstring_is_shown_in_the_ui():
    def build():
        generators.date_range("2013-01-01", "2013-01-31")

    assert "both included" in in_a_dag(build).get_task("date_range").doc_md


@pytest.mark.parametrize("name", ["ds", "ts", "run_id", "task", "params", "ti"])
def test_a_dimension_may_have_a_name_of_airflows_context(name):
    task = in_a_dag(lambda: generators.product(**{name: ["a"]})).get_task("product")
    assert task.made_of((), task.op_kwargs) == [{name: "a"}]


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: generators.date_range("2013-01-31", "2013-01-01"), "2013-01-31"),
        (lambda: generators.date_range("soon", "2013-01-01"), "soon"),
        (lambda: generators.date_range("2013-01-01", "2013-01-02", every="fortnight"), "fortnight"),
        (lambda: generators.date_range("2013-01-01", "2013-01-02", timezone="Mars/Base"), "Mars/Base"),
        (lambda: generators.product(origin=[]), "origin"),
        (lambda: generators.product(origin=[["EWR"]]), "EWR"),
        (lambda: generators.product(origin=["EWR", "EWR"]), "EWR"),
        (lambda: generators.product(n=[1, "1"]), "1"),
        (lambda: generators.product(exclude=["EWR"], origin=["EWR"]), "EWR"),
        (lambda: generators.product(origin=[], date=["{{ ds }}"]), "origin"),
        (lambda: generators.zipped(origin=[], date=["{{ ds }}"]), "origin"),
        (lambda: reload_partitions(origin=[]), "origin"),
        (lambda: generators.product(a=range(2000), b=range(2000)), "4,000,000"),
        (lambda: generators.date_range("0213-01-01", "2013-01-01", every="hour"), "15,778,512"),
        (lambda: generators.zipped(a=[1, 2], b=[1]), "2"),
        (lambda: generators.batches([1, 2], batch_size=0), "0"),
    ],
)
def test_bad_literals_are_refused_when_the_dag_is_parsed(build, named):
    with pytest.raises((PartitionError, PlanError)) as error:
        in_a_dag(build)
    assert named in str(error.value)


def test_what_is_known_only_at_run_time_is_not_checked_when_the_dag_is_parsed():
    def build():
        dates = generators.date_range("{{ params.start }}", "{{ ds }}")
        generators.product(date=dates, origin=["{{ params.origin }}"])

    assert set(in_a_dag(build).task_ids) == {"date_range", "product"}


def test_an_unknown_on_empty_is_refused_when_the_dag_is_parsed():
    with pytest.raises(PlanError, match="on_empty='ignore' is unknown: choose one of skip, fail"):
        in_a_dag(lambda: generators.product.override(on_empty="ignore")(x=[1]))
