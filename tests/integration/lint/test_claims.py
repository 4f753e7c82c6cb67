"""What the lint says of Airflow, seen on the Airflow that is installed: MAP002, MAP101 to MAP104.

What MAP003 says is seen on a scheduler with slots that fill: tests/e2e/test_child_runs.py.
"""

from __future__ import annotations

import uuid

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3
from airflows import create_session, dag, task

if AIRFLOW_3:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
else:
    from airflow.operators.bash import BashOperator
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator

SUCCESS, FAILED = "success", "failed"


@pytest.fixture
def states(dag_test):
    """Return a function that runs what is declared as a DAG, and returns the states by task and map index."""

    def run(build):
        @dag(dag_id=f"c{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
        def built():
            build()

        found = dag_test(built())
        return {place: ti.state for place, ti in found.items()}

    return run


def test_a_label_that_names_nothing_fails_a_task_whose_work_is_done(states, tmp_path):
    @task(map_index_template="{{ contry }}")
    def load(country):
        (tmp_path / country).write_text("done")

    assert states(lambda: load.expand(country=["us"])) == {("load", 0): FAILED}
    assert (tmp_path / "us").read_text() == "done"
    assert states(lambda: load("fr")) == {("load", -1): FAILED}


def test_what_a_task_puts_into_its_keyword_arguments_no_label_sees_and_what_it_is_given_by_name_each_does(
    states,
):
    @task(map_index_template="{{ name }}")
    def named(country, **context):
        context["name"] = country

    @task(map_index_template="{{ country }}")
    def given(**kwargs):
        return kwargs["country"]

    def both():
        named.expand(country=["us"])
        given.expand(country=["us"])

    assert states(both) == {("named", 0): FAILED, ("given", 0): SUCCESS}


def test_a_task_that_is_called_in_a_task_never_runs_and_all_is_green(states, tmp_path):
    @task
    def mail(text):
        (tmp_path / "mail").write_text(text)

    @task
    def check():
        mail("file missing")

    assert states(check) == {("check", -1): SUCCESS}
    assert not (tmp_path / "mail").exists()


def test_an_operator_that_is_made_in_a_task_never_runs_and_one_that_is_returned_fails(states, tmp_path):
    @task
    def dropped():
        BashOperator(task_id="touch", bash_command=f"touch {tmp_path}/made")

    @task
    def returned():
        return BashOperator(task_id="touch", bash_command=f"touch {tmp_path}/made")

    assert states(dropped) == {("dropped", -1): SUCCESS}
    assert states(returned) == {("returned", -1): FAILED}
    assert not (tmp_path / "made").exists()


def test_templates_of_an_operator_that_a_task_executes_are_not_rendered(states, tmp_path):
    @task
    def executes(**context):
        command = f"echo '{{{{ run_id }}}}' > {tmp_path}/said"
        BashOperator(task_id="say", bash_command=command).execute(context)

    assert states(executes) == {("executes", -1): SUCCESS}
    assert (tmp_path / "said").read_text() == "{{ run_id }}\n"


def test_of_triggers_that_a_task_executes_in_a_loop_only_the_first_starts_on_airflow_3(states, tmp_path):
    @dag(dag_id=f"s{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def ship():
        @task
        def pack():
            """Do nothing."""

        pack()

    child = ship()
    airflows.store(child)
    if not AIRFLOW_3:
        from airflow.models.serialized_dag import SerializedDagModel

        SerializedDagModel.write_dag(child)
    with create_session() as session:
        session.get(DagModel, child.dag_id).is_paused = False

    @task
    def sends(**context):
        for order in ("a", "b", "c"):
            with (tmp_path / "begun").open("a") as file:
                file.write(order)
            TriggerDagRunOperator(task_id=order, trigger_dag_id=child.dag_id, conf={"order": order}).execute(
                context
            )

    assert states(sends) == {("sends", -1): SUCCESS}
    assert (tmp_path / "begun").read_text() == ("a" if AIRFLOW_3 else "abc")
    with create_session() as session:
        started = session.query(DagRun).filter_by(dag_id=child.dag_id)
        assert sorted(run.conf["order"] for run in started) == (["a"] if AIRFLOW_3 else ["a", "b", "c"])
