"""How often an instance of a batched task goes to the metadata database, on Airflow 2."""

from __future__ import annotations

import uuid

import pendulum
import pytest

import airflows
from airflow_mapping_kit.compat import dialect_of, own_session, write_plain_xcom, xcom_model
from airflow_mapping_kit.compat.xcoms import _Statements
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflows import AIRFLOW_3, DAG, task

pytestmark = pytest.mark.skipif(AIRFLOW_3, reason="there a task has no database")


@task
def plan(pieces):
    return pieces


@pytest.fixture
def opened(metadata_db):
    """Return a function that runs an instance of a task and tells how many connections were opened."""
    from airflow import settings
    from sqlalchemy import event

    found = []

    def note(*_):
        found.append(True)

    def run(build):
        with DAG(f"c{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
            build()
        dag_run = airflows.dag_test(dag)
        event.listen(settings.engine, "connect", note)
        found.clear()
        error = airflows.run_alone(dag, dag_run.get_task_instance("work", map_index=0))
        event.remove(settings.engine, "connect", note)
        return len(found), error

    return run


def test_an_instance_opens_one_connection_for_all_that_the_kit_asks(opened):
    def plainly():
        @task
        def work(x):
            return x

        work.expand(x=plan([1]))

    def in_batches(fails=False):
        @batched
        def work(x):
            return 1 / x

        collect(
            work.expand(x=batches(plan([1, 2, 0 if fails else 3]), batch_size=3)), tolerated_failure_count=1
        )

    plain, _ = opened(plainly)
    succeeded, error = opened(in_batches)
    assert error is None
    assert succeeded <= plain + 1
    failed, error = opened(lambda: in_batches(fails=True))
    assert "1 of 3 items of work failed" in str(error)
    assert failed <= plain + 1


def test_what_is_said_in_text_names_the_schema_that_the_tables_are_in(metadata_db, monkeypatch):
    from airflow.models.dagrun import DagRun

    for model in (DagRun, xcom_model()):
        monkeypatch.setattr(model.__table__, "schema", "meta")
    with own_session() as session:
        said = _Statements(dialect_of(session))
    assert [
        text for text in map(str, (said.delete, said.insert, said.value)) if "meta.xcom" not in text
    ] == []
    assert " FROM meta.xcom WHERE " in str(said.of_pairs(2))
    assert " FROM meta.dag_run WHERE " in str(said.insert)


def test_nothing_is_kept_silently_of_a_run_that_was_deleted(metadata_db):
    place = {"dag_id": "gone", "run_id": "monthly", "task_id": "load", "map_index": 3}
    with (
        pytest.raises(ValueError, match=r"'monthly' of 'gone' was deleted while its task 'load' \[3\]"),
        own_session() as session,
    ):
        write_plain_xcom(session, place, "key", {})
