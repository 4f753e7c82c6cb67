"""What is done of a batch in Airflow's own task state store, read and written through the execution API."""

from __future__ import annotations

import json
import uuid
from types import SimpleNamespace

import pendulum
import pytest

import airflows
from airflow_mapping_kit.checkpoints.chunks import lines_of
from airflow_mapping_kit.checkpoints.rows import Line, row_of, text_of
from airflow_mapping_kit.checkpoints.store import Stored, head_after_clearing
from airflow_mapping_kit.compat import has_state_store, xcom_json, xcom_model
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.reading.supervisor import Supervisor
from airflows import DAG, EmptyOperator, create_session

pytestmark = pytest.mark.skipif(not has_state_store(), reason="Airflow has a task state store from 3.3 on")


class Killed(BaseException):
    """The process ends here."""


class Checkpoint(Stored):
    """What is kept, by rows."""

    def save(self, rows):
        self.add(
            [Line(text_of(n, row, xcom_json(row["value"]), None), done=True) for n, row in enumerate(rows)]
        )

    def rows(self):
        return [
            {name: value for name, value in row_of(line).items() if name != "item"} for line in self.load()
        ]


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
        self.leaves = False
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
        return Checkpoint(
            self, SimpleNamespace(max_tries=max_tries, task=self.task, **place), leaves=self.leaves
        )

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


def result(key, value=None):
    return {"key": key, "state": "success", "value": value, "error": None, "tries": 1, "duration_s": 0.1}


def test_what_is_saved_bit_by_bit_is_loaded_in_its_order_from_few_rows(kept):
    checkpoint = kept.checkpoint()
    for start in range(0, 700, 35):
        checkpoint.save([result(f"n={n}", n) for n in range(start, start + 35)])
    again = kept.checkpoint()
    assert again.rows() == [result(f"n={n}", n) for n in range(700)]
    assert sorted(kept.rows()) == ["mapping_kit", "mapping_kit/0", "mapping_kit/1"]

    again.save([result("n=700")])
    assert [row["key"] for row in kept.checkpoint().rows()] == [f"n={n}" for n in range(701)]


def test_what_is_large_is_spread_over_rows_that_airflow_does_not_warn_of(kept):
    # JSON within JSON: what is escaped in the one is so again in the other.
    rows = [result(f"n={n}", ("x" if n % 2 else '"\\é') * 2500) for n in range(20)]
    kept.checkpoint().save(rows)
    assert max(map(len, kept.rows().values())) < 65_535
    assert kept.checkpoint().rows() == rows


def test_values_that_are_no_json_come_back_as_they_were(kept):
    values = [pendulum.datetime(2024, 1, 1), (1, 2), {"a": [None]}]
    kept.checkpoint().save([result(f"n={n}", value) for n, value in enumerate(values)])
    assert [row["value"] for row in kept.checkpoint().rows()] == values


def test_what_was_saved_before_somebody_cleared_does_not_count_and_goes_while_the_authors_own_keys_stay(kept):
    kept.set("mine", "the function's own")
    kept.checkpoint().save([result("n=1")])
    cleared = kept.checkpoint(max_tries=3)
    assert cleared.rows() == []
    cleared.begin_afresh()
    assert kept.rows() == {"mine": json.dumps("the function's own")}
    cleared.save([result("n=2")])
    assert [row["key"] for row in kept.checkpoint(max_tries=3).rows()] == ["n=2"]


def test_what_is_to_outlive_a_clear_counts_for_the_tries_that_follow_it_and_for_no_later_ones(kept):
    kept.checkpoint().save([result("n=1")])
    kept.set("mapping_kit", head_after_clearing(fresh=False))
    assert [row["key"] for row in kept.checkpoint(max_tries=3).rows()] == ["n=1"]
    assert [row["key"] for row in kept.checkpoint(max_tries=3).rows()] == ["n=1"]
    assert kept.checkpoint(max_tries=5).rows() == []


@pytest.mark.parametrize("writes", range(5))
def test_a_process_that_is_killed_while_it_deletes_leaves_nothing_that_is_mistaken_later(kept, writes):
    kept.checkpoint().save([result(f"n={n}", "x" * 1_000) for n in range(75)])
    kept.kill_after = writes
    cleared = kept.checkpoint(max_tries=3)
    try:
        cleared.begin_afresh()
    except Killed:
        cleared = kept.checkpoint(max_tries=3)
    kept.kill_after = None
    assert cleared.rows() == []
    cleared.begin_afresh()
    cleared.save([result("n=new")])
    assert [row["key"] for row in kept.checkpoint(max_tries=3).rows()] == ["n=new"]


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_process_that_is_killed_while_it_saves_loses_what_it_was_saving_and_no_more(kept, writes):
    def go_on():
        checkpoint = kept.checkpoint()
        checkpoint.rows()
        for n in range(1, 6):
            checkpoint.save([result(f"n={n}", "x" * 20_000)])

    kept.checkpoint().save([result("n=0", "x" * 20_000)])
    kept.kill_after = writes - 1
    with pytest.raises(Killed):
        go_on()
    kept.kill_after = None
    assert [row["key"] for row in kept.checkpoint().rows()] == [f"n={n}" for n in range(writes)]


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


class TestWhatABackendKeeps:
    def test_is_not_in_the_store_and_comes_back_as_it_was(self, kept, objects):
        values = ["the customer's", None, {"at": ["the customer's"]}, 7]
        kept.checkpoint().save([result(f"n={n}", value) for n, value in enumerate(values)])
        assert not any("customer" in row for row in kept.rows().values())
        assert [row["value"] for row in kept.checkpoint().rows()] == values
        assert "customer" in objects()[0].read_text()

    def test_leaves_no_object_behind_that_nothing_refers_to(self, kept, objects):
        checkpoint = kept.checkpoint()
        for start in range(0, 700, 35):
            checkpoint.save([result(f"n={n}", n) for n in range(start, start + 35)])
        assert len(objects()) == 2
        assert [row["value"] for row in kept.checkpoint().rows()] == list(range(700))
        checkpoint.succeeded()
        assert objects() == []
        assert kept.rows() == {}

    def test_is_found_by_the_fan_in_and_by_the_command_line(self, kept, objects):
        kept.leaves = True
        checkpoint = kept.checkpoint()
        for _ in range(2):
            checkpoint.save([result(f"n={n}", f"the customer's {n}") for n in range(30)])
        kept.instance.task = kept.task
        place = (kept.task.dag_id, kept.run_id, "work", -1, "mapping_kit_done/0")
        for read in (tables, Supervisor(kept.instance, ("work",))):
            values = [row_of(line)["value"] for line in lines_of(read.xcom(*place))]
            assert values == 2 * [f"the customer's {n}" for n in range(30)]
        with create_session() as session:
            found = session.query(xcom_model().value).filter_by(run_id=kept.run_id).all()
        assert len(found) == 1
        assert "customer" not in str(found)
        checkpoint.succeeded()
        assert tables.xcom(*place) is None
        assert objects() == []

    def test_that_is_gone_is_made_again_with_what_came_later(self, kept, objects, caplog):
        kept.checkpoint().save([result(f"n={n}", "x" * 20_000) for n in range(3)])
        min(objects(), key=lambda path: path.stat().st_mtime_ns).unlink()
        assert kept.checkpoint().rows() == []
        assert "of items that are done: these items run again" in caplog.text
        kept.checkpoint().save([result("n=0")])
        assert [row["key"] for row in kept.checkpoint().rows()] == ["n=0"]
        assert len(objects()) == 1
