"""What is done of a batch in Airflow's own task state store, read and written through the execution API."""

from __future__ import annotations

import json
import uuid
from types import SimpleNamespace

import pendulum
import pytest

import airflows
from airflow_mapping_kit.checkpoints.store import Stored, head_after_clearing, left_by
from airflow_mapping_kit.compat import has_state_store, xcom_model
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.reading.supervisor import Supervisor
from airflows import DAG, EmptyOperator, create_session

pytestmark = pytest.mark.skipif(not has_state_store(), reason="Airflow has a task state store from 3.3 on")


class Killed(BaseException):
    """The process ends here."""


class Kept:
    """The task state store of an instance, and the rows that it has in the database."""

    def __init__(self, instance, dag):
        from airflow.sdk.execution_time.context import TaskStateStoreAccessor
        from airflow.sdk.state import TaskScope

        names = ("dag_id", "run_id", "task_id", "map_index")
        scope = TaskScope(**{name: getattr(instance, name) for name in names})
        self.accessor = TaskStateStoreAccessor(ti_id=instance.id, scope=scope)
        self.instance, self.task = instance, dag.get_task(instance.task_id)
        self.run_id = instance.run_id
        self.kill_after = None

    def get(self, key):
        return self.accessor.get(key)

    def set(self, key, value):
        self.count()
        self.accessor.set(key, value)

    def delete(self, key):
        self.count()
        self.accessor.delete(key)

    def count(self):
        if self.kill_after == 0:
            raise Killed
        if self.kill_after:
            self.kill_after -= 1

    def checkpoint(self, max_tries=1):
        """Return the checkpoint as a new process has it."""
        place = {name: getattr(self.instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
        return Stored(self, SimpleNamespace(max_tries=max_tries, task=self.task, **place))

    def rows(self):
        from airflow.models.task_state_store import TaskStateStoreModel

        with create_session() as session:
            found = session.query(TaskStateStoreModel).filter_by(run_id=self.run_id, dag_id=self.task.dag_id)
            return {row.key: row.value for row in found}


@pytest.fixture
def kept(metadata_db):
    """Return the store of an instance."""
    with DAG(f"k{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        EmptyOperator(task_id="work")
    instance = airflows.Run(dag).dag_run.get_task_instance("work")
    with airflows.supervised(instance):
        yield Kept(instance, dag)


@pytest.fixture
def awaited(metadata_db):
    """Return the store of an instance that a fan-in waits for."""
    with DAG(f"k{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        collect(EmptyOperator.partial(task_id="work").expand(email=["a", "b"]))
    instance = airflows.Run(dag).dag_run.get_task_instance("work", map_index=1)
    with airflows.supervised(instance):
        yield Kept(instance, dag)


def result(key, value=None):
    return {"key": key, "state": "success", "value": value, "error": None, "tries": 1, "duration_s": 0.1}


def test_what_is_saved_bit_by_bit_is_loaded_in_its_order_from_few_rows(kept):
    checkpoint = kept.checkpoint()
    for start in range(0, 120, 7):
        checkpoint.save([result(f"n={n}", n) for n in range(start, min(start + 7, 120))])
    again = kept.checkpoint()
    assert again.load() == [result(f"n={n}", n) for n in range(120)]
    assert sorted(kept.rows()) == ["mapping_kit", "mapping_kit/0", "mapping_kit/1", "mapping_kit/2"]

    again.save([result("n=120")])
    assert [row["key"] for row in kept.checkpoint().load()] == [f"n={n}" for n in range(121)]


def test_what_is_large_is_spread_over_rows_that_airflow_does_not_warn_of(kept):
    rows = [result(f"n={n}", "x" * 10_000) for n in range(20)]
    kept.checkpoint().save(rows)
    assert max(map(len, kept.rows().values())) < 65_535
    assert kept.checkpoint().load() == rows


def test_values_that_are_no_json_come_back_as_they_were(kept):
    values = [pendulum.datetime(2024, 1, 1), (1, 2), {"a": [None]}]
    kept.checkpoint().save([result(f"n={n}", value) for n, value in enumerate(values)])
    assert [row["value"] for row in kept.checkpoint().load()] == values


def test_what_was_saved_before_somebody_cleared_does_not_count_and_goes_while_the_authors_own_keys_stay(kept):
    kept.set("mine", "the function's own")
    kept.checkpoint().save([result("n=1")])
    cleared = kept.checkpoint(max_tries=3)
    assert cleared.load() == []
    cleared.delete()
    assert kept.rows() == {"mine": json.dumps("the function's own")}
    cleared.save([result("n=2")])
    assert [row["key"] for row in kept.checkpoint(max_tries=3).load()] == ["n=2"]


def test_what_is_to_outlive_a_clear_counts_for_the_tries_that_follow_it_and_for_no_later_ones(kept):
    kept.checkpoint().save([result("n=1")])
    kept.set("mapping_kit", head_after_clearing(fresh=False))
    assert [row["key"] for row in kept.checkpoint(max_tries=3).load()] == ["n=1"]
    assert [row["key"] for row in kept.checkpoint(max_tries=3).load()] == ["n=1"]
    assert kept.checkpoint(max_tries=5).load() == []


@pytest.mark.parametrize("writes", range(5))
def test_a_process_that_is_killed_while_it_deletes_leaves_nothing_that_is_mistaken_later(kept, writes):
    kept.checkpoint().save([result(f"n={n}") for n in range(150)])
    kept.kill_after = writes
    cleared = kept.checkpoint(max_tries=3)
    try:
        cleared.delete()
    except Killed:
        cleared = kept.checkpoint(max_tries=3)
    kept.kill_after = None
    assert cleared.load() == []
    cleared.delete()
    cleared.save([result("n=new")])
    assert [row["key"] for row in kept.checkpoint(max_tries=3).load()] == ["n=new"]


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_process_that_is_killed_while_it_saves_loses_what_it_was_saving_and_no_more(kept, writes):
    def go_on():
        checkpoint = kept.checkpoint()
        checkpoint.load()
        for start in range(50, 300, 50):
            checkpoint.save([result(f"n={n}") for n in range(start, start + 50)])

    kept.checkpoint().save([result(f"n={n}") for n in range(50)])
    kept.kill_after = writes - 1
    with pytest.raises(Killed):
        go_on()
    kept.kill_after = None
    assert [row["key"] for row in kept.checkpoint().load()] == [f"n={n}" for n in range(50 * writes)]


@pytest.fixture
def objects(tmp_path, monkeypatch):
    """Have XComs kept by Airflow's own backend for object storage; return a function that lists the objects."""
    from airflow.providers.common.io.xcom import backend
    from airflow.sdk.execution_time import xcom

    for option, value in {"path": f"file://{tmp_path}", "threshold": "0"}.items():
        monkeypatch.setenv(f"AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_{option.upper()}", value)
    caches = (backend._get_base_path, backend._get_threshold, backend._get_compression)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(xcom, "XCom", backend.XComObjectStorageBackend)
    yield lambda: [path for path in tmp_path.rglob("*") if path.is_file()]
    for cache in caches:
        cache.cache_clear()


class TestValuesThatABackendKeeps:
    def test_are_not_in_the_store_and_come_back_as_they_were(self, kept, objects):
        values = ["the customer's", None, {"at": ["the customer's"]}, 7]
        kept.checkpoint().save([result(f"n={n}", value) for n, value in enumerate(values)])
        rows = kept.rows()
        assert "n=1" in rows["mapping_kit/0"]
        assert not any("customer" in row for row in rows.values())
        assert [row["value"] for row in kept.checkpoint().load()] == values
        assert "customer" in objects()[0].read_text()

    def test_leave_no_object_behind_that_nothing_refers_to(self, kept, objects):
        checkpoint = kept.checkpoint()
        for start in range(0, 120, 7):
            checkpoint.save([result(f"n={n}", n) for n in range(start, min(start + 7, 120))])
        assert len(objects()) == 3
        assert [row["value"] for row in kept.checkpoint().load()] == list(range(120))
        checkpoint.delete()
        assert objects() == []
        assert kept.rows() == {}

    def test_are_found_by_the_fan_in_and_by_the_command_line(self, awaited, objects):
        checkpoint = awaited.checkpoint()
        checkpoint.save([result(f"n={n}", f"the customer's {n}") for n in range(60)])
        place = (awaited.task.dag_id, awaited.run_id, "work", 1)
        awaited.instance.task = awaited.task
        for read in (tables, Supervisor(awaited.instance, ("work",))):
            assert [row["value"] for row in left_by(read, *place)] == [
                f"the customer's {n}" for n in range(60)
            ]
        with create_session() as session:
            found = session.query(xcom_model().value).filter_by(run_id=awaited.run_id).all()
        assert len(found) == 2
        assert "customer" not in str(found)
        checkpoint.delete()
        assert left_by(tables, *place) == []
        assert objects() == []

    def test_that_are_gone_are_made_again(self, kept, objects, caplog):
        kept.checkpoint().save([result(f"n={n}", n) for n in range(60)])
        min(objects(), key=lambda path: path.stat().st_size).unlink()
        assert [row["value"] for row in kept.checkpoint().load()] == list(range(50))
        assert "10 items that are done: they are worked on again" in caplog.text
