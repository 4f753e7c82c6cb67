"""The hooks that Airflow calls while it makes instances and starts them: labels, and no harm whatever happens."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import sys
import time
import uuid

import pendulum
import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import event, text

from airflow_mapping_kit import policy
from airflow_mapping_kit.compat import AIRFLOW_3, label_of, set_label, xcom_model
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.plans import early_labels
from airflow_mapping_kit.plans.notes import noted
from airflow_mapping_kit.reading import json_xcoms
from airflows import (
    DAG,
    EmptyOperator,
    clear,
    create_session,
    dag_test,
    scheduler_dag,
    store_xcom,
    task,
    task_group,
    xcom_of,
)


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


def test_a_hundred_instances_are_labelled_with_one_look_at_the_plan(made, monkeypatch):
    # However long a busy machine takes for them.
    monkeypatch.setattr(early_labels, "_KEPT_SECONDS", 3600.0)
    with create_session():
        instance_of(made, "unlabelled", 0)  # what Airflow itself asks for
        with statements() as sent:
            found = [label_given(made, "work", n) for n in range(100)]
    assert found == [f"number {n}" for n in range(100)]
    assert len([statement for statement in sent if "xcom" in statement]) == 2  # how large it is, and what


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


@pytest.fixture
def counted(monkeypatch):
    """Give what Airflow's metrics are told."""
    stats = importlib.import_module("airflow.observability.stats" if AIRFLOW_3 else "airflow.stats")
    stats = stats if AIRFLOW_3 else stats.Stats
    told = []
    monkeypatch.setattr(
        stats, "incr", lambda name, *_, tags=None, **__: told.append((name, tags)), raising=False
    )
    return told


def test_a_plan_that_cannot_be_read_is_tried_said_and_counted_once_for_all_its_instances(
    made, monkeypatch, caplog, counted
):
    tried = []

    def broken(*_):
        tried.append(1)
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(json_xcoms, "pushed", broken)
    with caplog.at_level(logging.WARNING):
        found = {label_given(made, "work", n) for n in range(50)}
    assert found == {None}
    assert len(tried) == 1
    (warning,) = [
        record.getMessage() for record in caplog.records if "show their number" in record.getMessage()
    ]
    assert "the database is gone" in warning
    assert made.dag_run.run_id in warning
    tags = {"dag_id": made.dag.dag_id, "task_id": "work"}
    assert [one for one in counted if one[0] == early_labels.GIVEN_UP] == [(early_labels.GIVEN_UP, tags)]


def test_what_could_not_be_read_is_read_when_some_time_has_passed(made, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(json_xcoms, "pushed", lambda *_: 1 / 0)
        assert label_given(made, "work", 3) is None
    assert label_given(made, "work", 3) is None
    monkeypatch.setattr(early_labels.time, "monotonic", lambda now=time.monotonic: now() + 100)
    assert label_given(made, "work", 3) == "number 3"


def test_a_label_is_read_within_the_transaction_of_the_scheduler(made, monkeypatch):
    def refused(*_):
        raise AssertionError("a second connection")

    with create_session() as session:
        instance_of(made, "unlabelled", 0)
        session.execute(text("SELECT 1"))
        monkeypatch.setattr(settings.engine.pool, "connect", refused)
        assert label_given(made, "work", 3) == "number 3"


def test_a_plan_that_is_too_large_is_not_fetched(made, monkeypatch, caplog):
    monkeypatch.setattr(json_xcoms, "MAX_BYTES", 500)
    with caplog.at_level(logging.INFO), create_session(), statements() as sent:
        assert {label_given(made, "work", n) for n in range(3)} == {None}
    assert len([statement for statement in sent if "xcom" in statement]) == 1
    assert "reads at most 100,000 of 500 bytes" in caplog.text


class Chosen:
    """Something that does what its maker wants where it is made of what is stored of it."""

    made = 0

    def __init__(self):
        type(self).made += 1

    def serialize(self):
        return {}

    @classmethod
    def deserialize(cls, *_):
        return cls()


def written(module, name):
    """Return what Airflow writes of an object."""
    return {"__classname__": f"{module}.{name}", "__version__": 1, "__data__": {}}


@pytest.mark.parametrize(
    "value",
    [
        [{"n": 1}, {"n": written(__name__, "Chosen")}],
        [written("pandas.core.frame", "DataFrame")],
        [{"__type": "dict", "__var": {}}],
    ],
)
def test_a_plan_of_objects_gives_no_label_and_nothing_is_made_of_it(made, value):
    early_labels.forget(made.dag.dag_id, made.dag_run.run_id)
    write_xcom(made, json.dumps(value))
    before = {*sys.modules}
    assert label_given(made, "work", 0) is None
    assert Chosen.made == 0
    assert "pandas" not in {*sys.modules} - before


def write_xcom(run, written):
    """Write the plan past Airflow, which would not write such."""
    early_labels.forget(run.dag.dag_id, run.dag_run.run_id)
    with create_session() as session:
        session.query(xcom_model()).filter_by(
            dag_id=run.dag.dag_id, run_id=run.dag_run.run_id, task_id="plan", key="return_value"
        ).update({"value": json.loads(written) if AIRFLOW_3 else written.encode()})


def test_tuples_are_no_objects(made):
    pair = {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [3, {"n": 4}]}
    write_xcom(made, json.dumps([{"n": pair}]))
    assert label_given(made, "work", 0) == "number (3, {'n': 4})"


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 has no pickled XComs")
def test_with_pickled_xcoms_nothing_is_unpickled_in_the_scheduler(made, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW__CORE__ENABLE_XCOM_PICKLING", "True")
    store_xcom(made.dag_run, "plan", [{"n": n} for n in range(3)])

    def refused(*_):
        raise AssertionError("code of a worker")

    early_labels.forget(made.dag.dag_id, made.dag_run.run_id)
    monkeypatch.setattr("pickle.loads", refused)
    with caplog.at_level(logging.INFO):
        assert label_given(made, "work", 0) is None
    assert "is no JSON" in caplog.text


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


class TestAPlanMadeAnew:
    """What waits shows the piece that it will work on, or its number."""

    @pytest.fixture
    def plan_of(self, metadata_db, run_of):
        """Give a run, its instances made and named, and what its generator returns the next time."""
        values = ["customer A", "customer B"]
        with DAG(f"a{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

            @task
            def customers():
                return list(values)

            @task(map_index_template=label("{x}"))
            def work(x): ...

            @task(map_index_template=label("literal {x}"))
            def literal(x): ...

            @task_group
            def group(one):
                @task(map_index_template=label("first {one}"))
                def first(one): ...

                @task(map_index_template=label("then {one}"))
                def then(one): ...

                first(one) >> then(one)

            @task(map_index_template="run " + label("{x}"))
            def composed(x): ...

            made = customers()
            work.expand(x=made)
            composed.expand(x=made)
            group.expand(one=made)
            literal.expand(x=["a", "b"]) << made
        run = run_of(built)
        if not AIRFLOW_3:
            from airflow.models.serialized_dag import SerializedDagModel

            SerializedDagModel.write_dag(built)
        run.run("customers")
        scheduled(run)
        assert labels_in_the_database(run, "work") == ["customer A", "customer B"]
        return run, values

    def shown(self, run):
        return {name: labels_in_the_database(run, name) for name in ("work", "group.first", "group.then")}

    def test_what_waits_has_no_label_until_there_is_a_plan_and_then_that_of_the_new_one(self, plan_of):
        run, values = plan_of
        run.run_mapped("composed", 0)
        assert labels_in_the_database(run, "composed") == ["run customer A", None]
        clear_all(run)
        assert labels_in_the_database(run, "composed") == [None, None]
        assert self.shown(run) == {"work": [None] * 2, "group.first": [None] * 2, "group.then": [None] * 2}
        assert labels_in_the_database(run, "literal") == ["literal a", "literal b"]
        values[:] = ["customer X", "customer A"]
        run.run("customers")
        assert labels_in_the_database(run, "composed") == [None, None]
        assert self.shown(run) == {
            "work": ["customer X", "customer A"],
            "group.first": ["first customer X", "first customer A"],
            "group.then": ["then customer X", "then customer A"],
        }

    def test_a_longer_plan_names_what_is_made_and_what_was_there(self, plan_of):
        run, values = plan_of
        clear_all(run)
        values[:] = ["customer X", "customer Y", "customer A"]
        run.run("customers")
        scheduled(run)
        assert labels_in_the_database(run, "work") == values

    def test_what_is_not_cleared_keeps_the_label_of_the_piece_that_it_worked_on(self, plan_of):
        run, values = plan_of
        run.run_mapped("work", 0)
        clear_all(run, but=("work", 0))
        values[:] = ["customer X", "customer Y"]
        run.run("customers")
        assert labels_in_the_database(run, "work") == ["customer A", "customer Y"]

    def test_an_instance_that_is_cleared_by_itself_keeps_its_label(self, plan_of):
        run, _ = plan_of
        for task_id in ("work", "composed"):
            run.run_mapped(task_id, 0)
            clear(run.dag, run.dag_run.get_task_instance(task_id, map_index=0))
        assert labels_in_the_database(run, "work") == ["customer A", "customer B"]
        # Nobody but the task itself could say it again.
        assert labels_in_the_database(run, "composed") == ["run customer A", None]

    def test_a_plan_that_cannot_be_read_leaves_no_label_of_the_old_one(self, plan_of, monkeypatch):
        run, values = plan_of
        clear_all(run)
        values[:] = ["customer X", "customer Y"]
        monkeypatch.setattr(json_xcoms, "MAX_BYTES", 3)
        run.run("customers")
        assert labels_in_the_database(run, "work") == [None, None]

    def test_what_goes_wrong_leaves_the_clearing_and_the_plan_as_they_are(self, plan_of, monkeypatch, caplog):
        run, values = plan_of
        monkeypatch.setattr(early_labels, "is_labelled", lambda *_: 1 / 0)
        clear_all(run)
        assert run.dag_run.get_task_instance("customers").state is None
        values[:] = ["customer X", "customer Y"]
        assert run.run("customers") == ("success", ["customer X", "customer Y"])
        assert "label_anew went wrong" in caplog.text


def clear_all(run, but=None):
    """Clear a run as a person does, with all that has ended or waits."""
    from airflow.models.taskinstance import clear_task_instances

    with create_session() as session:
        rows = session.query(TaskInstance).filter_by(dag_id=run.dag.dag_id, run_id=run.dag_run.run_id).all()
        rows = [row for row in rows if (row.task_id, row.map_index) != but]
        clear_task_instances(rows, session, **({} if AIRFLOW_3 else {"dag": run.dag}))


def test_outputs_among_literals_have_no_label_until_they_run(metadata_db, run_of):
    with DAG(f"x{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

        @task
        def origins(name):
            return [name]

        @task(map_index_template=label("{x[0]} {n}"))
        def crossed(x, n): ...

        @task(map_index_template=label("{x[0]} {n}"))
        def named(x, n): ...

        first, second = origins("EWR"), origins("JFK")
        crossed.expand(x=[first, second], n=[1, 2])

        @task(map_index_template=label("{x} {origins}"))
        def fixed(x, origins): ...

        fixed.partial(origins=[first, {"b": second}]).expand(x=["a"])
        named.expand_kwargs([{"x": first, "n": 1}, {"x": second, "n": 2}])
    for operator in built.tasks:
        settings.task_policy(operator)
    run = run_of(built)
    scheduled(run)
    before = {name: labels_in_the_database(run, name) for name in ("crossed", "named")}
    assert before == {"crossed": [None] * 4, "named": [None] * 2}
    run.run("origins")
    run.run("origins__1")
    assert {label_given(run, "crossed", n) for n in range(4)} == {None}
    assert label_given(run, "fixed", 0) == "x=a"


def test_the_order_of_arguments_is_noted_and_no_template_changed_for_it(metadata_db):
    with DAG(f"o{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

        @task
        def two(zebra=None, ant=None): ...

        mine = two.override(map_index_template=label("{zebra}")).expand(zebra=[1], ant=[2]).operator
        theirs = two.override(map_index_template="{{ ti.map_index }}").expand(zebra=[1], ant=[2]).operator
        one = two.override(map_index_template=label("{zebra}")).expand(zebra=[1]).operator
        plain = EmptyOperator(task_id="plain")
    for operator in (mine, theirs, one, plain):
        settings.task_policy(operator)
    stored = scheduler_dag(built)
    found = {task_id: noted(stored.get_task(task_id)) for task_id in stored.task_dict}
    order = {"order": ["zebra", "ant"]}
    assert found == {mine.task_id: order, theirs.task_id: order, one.task_id: {}, "plain": {}}
    assert mine.map_index_template == label("{zebra}")
    assert theirs.map_index_template == "{{ ti.map_index }}"
    assert one.map_index_template == label("{zebra}")
    assert plain.map_index_template is None
    policy.task_policy(object())


@pytest.mark.skipif(AIRFLOW_3, reason="the process of the task says there how it failed")
@pytest.mark.parametrize(
    ("pickled", "kept"), [(False, {"key": "x=1", "label": "one"}), (True, {})], ids=["JSON", "pickled"]
)
def test_the_scheduler_adds_to_a_record_without_making_an_object_of_it(
    metadata_db, run_of, monkeypatch, pickled, kept
):
    from airflow_mapping_kit.fan_in import collect
    from airflow_mapping_kit.listeners import instances

    with DAG(f"r{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:

        @task
        def work(x): ...

        collect(work.expand(x=[1]))
    run = run_of(built)
    with monkeypatch.context() as patched:
        patched.setenv("AIRFLOW__CORE__ENABLE_XCOM_PICKLING", str(pickled))
        store_xcom(run.dag_run, "work", {"key": "x=1", "label": "one"}, map_index=0, key="mapping_kit")

    def refused(*_):
        raise AssertionError("code of a worker")

    # What an executor lost is failed in the scheduler.
    with monkeypatch.context() as patched, create_session() as session:
        patched.setattr("pickle.loads", refused)
        instance = run.dag_run.get_task_instance("work", map_index=0, session=session)
        instance.task = built.get_task("work")
        instances.on_task_instance_failed(instance, "lost by the executor", session)
    assert xcom_of(run.dag_run, "work", map_index=0, key="mapping_kit") == {
        **kept,
        "error": {"type": None, "message": "lost by the executor"},
        "try_number": 0,
    }


@pytest.mark.parametrize("hook", ["on_task_instance_running", "on_task_instance_failed"])
def test_a_listener_that_goes_wrong_fails_no_task(metadata_db, monkeypatch, caplog, hook):
    from airflow_mapping_kit.fan_in import collect
    from airflow_mapping_kit.reading import records

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
        "airflow_mapping_kit.listeners.starting",
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
