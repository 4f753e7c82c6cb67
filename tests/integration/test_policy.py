"""The hooks that Airflow calls while it makes instances and starts them: labels, and no harm whatever happens."""

from __future__ import annotations

import contextlib
import importlib
import logging
import uuid

import pendulum
import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import event

from airflow_mapping_kit import labels, policy
from airflow_mapping_kit.compat import AIRFLOW_3, label_of, set_label, xcom_model
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.pieces import early_labels, tables
from airflows import DAG, EmptyOperator, create_session, dag_test, scheduler_dag, store_xcom, task, task_group


@task
def plan():
    return [{"n": n} for n in range(100)]


@task(map_index_template=label("number {n}"))
def work(piece): ...


@task
def unlabelled(piece): ...


@pytest.fixture
def made(metadata_db, run_of):
    """Give a run whose plan is there and whose instances are not made yet."""
    with DAG(f"e{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:
        pieces = plan()
        work.expand(piece=pieces)
        unlabelled.expand(piece=pieces)
        EmptyOperator(task_id="single")
    run = run_of(built)
    run.run("plan")
    return run


@contextlib.contextmanager
def statements():
    sent = []

    def note(connection, cursor, statement, *_):
        sent.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


def instance_of(run, task_id, map_index):
    """Return an instance as the scheduler makes it: Airflow calls the hook itself, once it knows the run."""
    options = {"dag_version_id": run.dag_run.created_dag_version_id} if AIRFLOW_3 else {}
    # What a scheduler has is the serialized DAG.
    task = scheduler_dag(run.dag).get_task(task_id)
    instance = TaskInstance(task, run_id=run.dag_run.run_id, map_index=map_index, **options)
    settings.task_instance_mutation_hook(instance)
    return instance


def label_given(run, task_id, map_index):
    return label_of(instance_of(run, task_id, map_index))


def test_a_hundred_instances_are_labelled_with_one_query(made):
    with create_session():
        instance_of(made, "unlabelled", 0)  # what Airflow itself asks for
        with statements() as sent:
            found = [label_given(made, "work", n) for n in range(100)]
    assert found == [f"number {n}" for n in range(100)]
    assert len([statement for statement in sent if "xcom" in statement]) == 1


def test_instances_of_other_tasks_are_left_alone_without_a_query(made):
    instance_of(made, "work", 0)
    with statements() as sent:
        assert label_given(made, "unlabelled", 0) is None
        assert label_given(made, "single", -1) is None
        assert label_given(made, "work", -1) is None
        assert label_given(made, "work", 100) is None  # no such piece
    assert [statement for statement in sent if "xcom" in statement] == []


def test_a_label_that_is_there_stays(made):
    instance = instance_of(made, "work", 3)
    set_label(instance, "somebody's own")
    settings.task_instance_mutation_hook(instance)
    assert label_of(instance) == "somebody's own"


def test_early_labels_can_be_turned_off(made, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__EARLY_LABELS", "False")
    assert label_given(made, "work", 0) is None


def test_a_deployment_with_an_xcom_backend_of_its_own_is_not_asked_by_the_scheduler(made, monkeypatch):
    place = "airflow.sdk.execution_time.xcom" if AIRFLOW_3 else "airflow.models.xcom"

    class Elsewhere(importlib.import_module(place).BaseXCom):
        @staticmethod
        def deserialize_value(result):
            raise AssertionError("asked")

    monkeypatch.setattr(f"{place}.XCom", Elsewhere)
    assert label_given(made, "work", 0) is None


def test_whatever_goes_wrong_nothing_is_raised_and_there_is_one_warning(made, monkeypatch, caplog):
    early_labels._plans.clear()

    def broken(*_):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(tables, "xcoms", broken)
    with caplog.at_level(logging.WARNING):
        found = {label_given(made, "work", n) for n in range(50)}
    assert found == {None}
    warnings = [record for record in caplog.records if "went wrong" in record.getMessage()]
    assert len(warnings) == 1
    assert "task_instance_mutation_hook" in warnings[0].getMessage()


@pytest.mark.parametrize("value", ["no JSON", 1, None, {"a": {"b": "c"}}])
def test_a_plan_that_is_garbage_leaves_instances_without_a_label(made, value):
    store_xcom(made.dag_run, "plan", value)
    assert label_given(made, "work", 7) is None


@pytest.mark.skipif(AIRFLOW_3, reason="the database holds JSON there, not bytes")
@pytest.mark.parametrize("value", [b"no JSON", b"1", b"null", b'{"a"'])
def test_a_plan_of_bytes_that_are_no_json_leaves_instances_without_a_label(made, value):
    with create_session() as session:
        session.query(xcom_model()).filter_by(
            dag_id=made.dag.dag_id, run_id=made.dag_run.run_id, task_id="plan", key="return_value"
        ).update({"value": value})
    assert label_given(made, "work", 0) is None


def labels_in_the_database(run, task_id):
    """Return the labels of a task's instances, in map-index order."""
    with create_session() as session:
        rows = session.query(TaskInstance).filter_by(
            dag_id=run.dag.dag_id, run_id=run.dag_run.run_id, task_id=task_id
        )
        return [label_of(row) for row in sorted(rows, key=lambda row: row.map_index)]


def scheduled(run):
    """Do with a run what the scheduler does: tell the listeners that it starts, then make what can be made."""
    from airflow.listeners.listener import get_listener_manager

    dag = scheduler_dag(run.dag)
    with create_session() as session:
        dag_run = session.merge(run.dag_run)
        dag_run.dag = dag
        session.commit()
        get_listener_manager().hook.on_dag_run_running(dag_run=dag_run, msg="started")
        session.expire_all()
        dag_run.dag = dag
        dag_run.update_state(session=session)


def test_instances_that_wait_have_their_labels_in_the_database(metadata_db, run_of):
    with DAG(f"w{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

        @task
        def letters():
            return ["z", "a"]

        @task(map_index_template=label("{zebra} and {ant}"))
        def cross(zebra, ant): ...

        @task(map_index_template=label("literal {x}"))
        def literal(x): ...

        @task_group
        def group(one):
            @task(map_index_template=label("in a group: {one}"))
            def inside(one): ...

            inside(one)

        made = letters()
        # In another order than sorted, in which serialized DAGs may have them.
        cross.expand(zebra=made, ant=[1, 2])
        literal.expand(x=["a", "b"])
        group.expand(one=made)
        unlabelled.expand(piece=made)
    # As Airflow does when it has read a DAG's file.
    for operator in built.tasks:
        settings.task_policy(operator)
    run = run_of(built)
    run.run("letters")
    scheduled(run)
    assert labels_in_the_database(run, "cross") == ["z and 1", "z and 2", "a and 1", "a and 2"]
    assert labels_in_the_database(run, "literal") == ["literal a", "literal b"]
    assert labels_in_the_database(run, "group.inside") == ["in a group: z", "in a group: a"]
    assert labels_in_the_database(run, "unlabelled") == [None, None]


def test_the_order_of_arguments_is_written_into_templates_of_the_kit_alone(metadata_db):
    with DAG(f"o{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)):

        @task
        def two(zebra=None, ant=None): ...

        mine = two.override(map_index_template=label("{zebra}")).expand(zebra=[1], ant=[2]).operator
        theirs = two.override(map_index_template="{{ ti.map_index }}").expand(zebra=[1], ant=[2]).operator
        one = two.override(map_index_template=label("{zebra}")).expand(zebra=[1]).operator
        plain = EmptyOperator(task_id="plain")
    for operator in (mine, theirs, one, plain):
        settings.task_policy(operator)
    assert labels.note_of(mine.map_index_template) == {"order": ["zebra", "ant"]}
    assert theirs.map_index_template == "{{ ti.map_index }}"
    assert one.map_index_template == label("{zebra}")
    assert plain.map_index_template is None
    policy.task_policy(object())


@pytest.mark.parametrize("hook", ["on_task_instance_running", "on_task_instance_failed"])
def test_a_listener_that_goes_wrong_fails_no_task(metadata_db, monkeypatch, caplog, hook):
    from airflow_mapping_kit.fan_in import collect
    from airflow_mapping_kit.pieces import records

    def broken(*_):
        raise RuntimeError("no records today")

    monkeypatch.setattr(records, {"on_task_instance_running": "record_of"}.get(hook, "error_of"), broken)
    with DAG(f"w{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

        @task
        def divide(x):
            return 10 // x

        collect(divide.expand(x=[1, 0, 5]), tolerated_failure_count=1)
    place = "airflow.sdk.listener" if AIRFLOW_3 else "airflow.listeners.listener"
    known = importlib.import_module(place).get_listener_manager().pm.get_plugins()
    instances = "supervised" if AIRFLOW_3 else "instances"
    assert {listener.__name__ for listener in known} == {
        "airflow_mapping_kit.listeners.runs",
        f"airflow_mapping_kit.listeners.{instances}",
    }
    run = dag_test(built)
    states = sorted((ti.task_id, ti.map_index, ti.state) for ti in run.get_task_instances())
    assert states == [
        ("collect_divide", -1, "success"),
        ("divide", 0, "success"),
        ("divide", 1, "failed"),
        ("divide", 2, "success"),
    ]
    assert f"kit's {hook} went wrong" in caplog.text
