"""Batches whose results are kept elsewhere: what an instance leaves, takes over, hands on and has left when killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid

import pendulum
import pytest

import airflows
from airflow_mapping_kit.checkpoints.parts import failed_rows_of, left_by, rows_of
from airflow_mapping_kit.compat import xcom_model
from airflow_mapping_kit.generators import batches, generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.plans.chunks import chunks
from airflow_mapping_kit.plans.lines import line_of
from airflow_mapping_kit.plans.plan_files import plan_file
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.clearing import Actor, clear
from airflow_mapping_kit.redrive.wanted import Cleared, Redrive
from airflow_mapping_kit.results import part_of
from airflow_mapping_kit.storage import files, s3_files
from airflows import AIRFLOW_3, DAG, AirflowSkipException, create_session, task

NUMBER, SIZE = 3_000, 2_000
DONE: list[int] = []
BROKEN: set[int] = set()


@pytest.fixture(autouse=True)
def counted():
    """Forget what was done before."""
    DONE.clear()
    BROKEN.clear()


@pytest.fixture(params=["xcoms", "folder", "s3"])
def storage(request, monkeypatch, tmp_path):
    """Have plans and results in each of the places where they may be."""
    if request.param == "folder":
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path / "kit"))
    if request.param == "s3":
        s3_files._client.cache_clear()
        conn, bucket = request.getfixturevalue("s3_conn"), request.getfixturevalue("s3_bucket")
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", f"s3://{conn}@{bucket}/kit")
    return request.param


@generator
def items():
    yield from ({"id": i, "why": f"{'as many bytes as it takes':<90}"} for i in range(NUMBER))


def work(x):
    """Count, and become what the item says."""
    DONE.append(x["id"])
    if x["id"] in BROKEN:
        raise ValueError(f"{x['id'] % 2} is broken")
    if x["id"] % 1_000 == 7:
        raise AirflowSkipException("nothing to do")
    return x["id"] * 10


async def awaited(x):
    """Do the same in an event loop."""
    await asyncio.sleep(0)
    return work(x)


class End:
    """A run that `dag.test` ended."""

    def __init__(self, build, **options):
        start = pendulum.datetime(2024, 1, 1)
        with DAG(f"p{uuid.uuid4().hex}", schedule=None, start_date=start, **options) as self.dag:
            build()
        self.run = airflows.dag_test(self.dag)
        self.place = (self.run.dag_id, self.run.run_id)

    def instance(self, task_id, map_index=0):
        return self.run.get_task_instance(task_id, map_index=map_index)

    def part(self, task_id="work", map_index=0, key="return_value"):
        """Return the summary that an instance pushed, having made sure that it is one."""
        pushed = airflows.xcom_of(self.run, task_id, map_index=map_index, key=key)
        part = part_of(pushed)
        assert len(json.dumps(pushed)) < 2_500
        assert sum(part["states"].values()) == part["count"]
        return part

    def rows(self, task_id="work", map_index=0, key="return_value"):
        """Return the rows of a part by their items, having made sure that each is there once."""
        part = self.part(task_id, map_index, key)
        rows = list(rows_of(part, tables, *self.place))
        assert sorted(row["item"] for row in rows) == list(
            range(part["first"], part["first"] + part["count"])
        )
        return {row["item"]: row for row in rows}

    def failed(self, task_id="work", map_index=0):
        return sorted(
            row["item"] for row in failed_rows_of(self.part(task_id, map_index), tables, *self.place)
        )

    def left(self, task_id="work", map_index=0):
        """Return what an instance has left that was killed, by item."""
        place = {"run_id": self.run.run_id, "map_index": map_index}
        max_tries = self.instance(task_id, map_index).max_tries
        rows = list(left_by(tables, self.dag.get_task(task_id), max_tries=max_tries, **place))
        assert len(rows) == len({row["item"] for row in rows})
        return {row["item"]: row for row in rows}

    def again(self, task_id="work", map_index=0, *, cleared=False):
        """Run an instance once more, as a retry does, or as Airflow does when somebody has cleared it."""
        DONE.clear()
        if cleared:
            airflows.clear(self.dag, self.instance(task_id, map_index))
        return airflows.run_alone(self.dag, self.instance(task_id, map_index))

    def kept(self):
        """Return what a retry would find: how many chunks, and how many files that are no result."""
        with create_session() as session:
            where = {"run_id": self.run.run_id, "dag_id": self.dag.dag_id}
            keys = [key for (key,) in session.query(xcom_model().key).filter_by(**where)]
            found = [key for key in keys if key.startswith("mapping_kit/")]
            if AIRFLOW_3:
                from airflow.models.task_state_store import TaskStateStoreModel as Model

                found = [key for (key,) in session.query(Model.key).filter_by(**where)]
        return found


@pytest.fixture
def run(metadata_db):
    """Return a function that runs a DAG which a function builds."""
    return End


def of_work(function=work, **settings):
    """Build `work`, batched over slices."""
    return lambda: batched(task_id="work", concurrency=4, **settings)(function).expand(
        x=items.override(batch_size=SIZE)()
    )


@pytest.mark.parametrize("function", [work, awaited])
def test_every_item_is_in_one_row_of_its_instances_part(run, storage, function):
    BROKEN.update({3, 4, 5, 2_001})
    end = run(of_work(function))
    assert sorted(DONE) == list(range(NUMBER))
    first, second = end.part(), end.part(map_index=1)
    assert [(one["first"], one["count"], one["total"]) for one in (first, second)] == [
        (0, 2_000, 3_000),
        (2_000, 1_000, 3_000),
    ]
    assert first["states"] == {"success": 1_995, "failed": 3, "skipped": 2}
    assert first["errors"] == [["ValueError: 1 is broken", 2], ["ValueError: 0 is broken", 1]]
    assert sorted(first["failed"]) == [end.rows()[item]["key"] for item in (3, 4, 5)]
    assert (first["map_index"], second["map_index"]) == (0, 1)
    assert (end.failed(), end.failed(map_index=1)) == ([3, 4, 5], [2_001])
    rows = {**end.rows(), **end.rows(map_index=1)}
    assert [rows[n]["value"] for n in (0, 7, 5, 2_999)] == [0, None, None, 29_990]
    assert rows[5]["error"] == {"type": "ValueError", "message": "1 is broken"}
    assert not any("label" in row for row in rows.values())
    if storage != "xcoms":
        lines = list(files.lines(first["where"]))
        assert sum(len(line) + 1 for line in lines) == first["bytes"]
        assert set(json.loads(lines[0])) == {"item", "key", "state", "value", "error", "tries", "duration_s"}


def test_a_retry_works_on_what_is_not_done_and_one_who_clears_has_all_done_again(run, storage):
    BROKEN.update({3, 4, 2_001})
    end = run(of_work())
    before = end.part()
    BROKEN.discard(3)
    assert "1 of 2,000 items of work failed, 1,997 succeeded and are not done again" in str(end.again())
    assert sorted(DONE) == [3, 4]
    assert end.failed() == [4]
    assert end.rows()[3]["value"] == 30

    BROKEN.clear()
    assert end.again() is None
    assert DONE == [4]
    part = end.part()
    assert part["states"] == {"success": 1_998, "skipped": 2}
    assert (part["failed"], part["failed_in"], end.failed()) == ([], None, [])
    assert len(end.rows()) == 2_000
    if storage != "xcoms":
        # Nothing of the earlier tries is left, nor what they said of their failures.
        folder, _, _ = part["where"].rpartition("/")
        assert files.listed(folder) == [part["where"]]
        assert before["where"] != part["where"]

    assert end.again(cleared=True) is None
    assert sorted(DONE) == list(range(2_000))
    assert len(end.rows()) == 2_000
    # The other instance has not been touched.
    assert end.failed(map_index=1) == [2_001]


@pytest.mark.skipif(
    AIRFLOW_3, reason="there a process has threads that a fork of it lacks: see the end-to-end tests"
)
def test_a_killed_instance_leaves_what_it_had_saved_and_a_retry_takes_it_over(run, storage, monkeypatch):
    """It is killed at any moment: what it has saved is there as a whole."""

    def slow(x):
        work(x)
        if x["id"] < SIZE:
            time.sleep(0.005)

    end = run(of_work(slow))
    airflows.clear(end.dag, end.instance("work"))
    _killed_when_it_has_saved(end)
    left = end.left()
    assert 0 < len(left) < 2_000
    assert end.again() is None
    assert sorted(DONE) == sorted(set(range(2_000)) - set(left))
    assert len(end.rows()) == 2_000
    if storage != "xcoms":
        part = end.part()
        assert files.listed(part["where"].rpartition("/")[0]) == [part["where"]]


def _killed_when_it_has_saved(end):
    """Run an instance in a process of its own, and kill that."""
    from airflow import settings

    instance = end.instance("work")
    pid = os.fork()
    if not pid:
        try:
            settings.engine.dispose(close=False)
            airflows.run_alone(end.dag, instance)
        finally:
            os._exit(0)
    until = time.monotonic() + 60
    while not end.left() and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    # As Airflow does when it hears no more of it.
    with create_session() as session:
        session.merge(end.instance("work")).state = "up_for_retry"


def test_what_the_command_line_clears_goes_on_with_what_is_done(run, storage):
    BROKEN.update({3, 4})
    end = run(of_work(), default_args={"retries": 0})
    for _ in range(2):
        redrive = Redrive((Cleared("work", 0, "failed", None),), (), (), ())
        actor = Actor("retry", "somebody", {})
        assert clear(end.dag, {end.run.run_id: redrive}, actor=actor)
        end.again()
        assert sorted(DONE) == [3, 4]
        BROKEN.discard(3)
        assert len(end.rows()) == 2_000
    BROKEN.clear()
    assert end.again() is None
    assert DONE == [4]
    assert len(end.rows()) == 2_000
    if AIRFLOW_3:  # what a retry would want has gone with success
        assert end.kept() == []
    else:
        # A process of an earlier try may come back after that, and Airflow deletes the results for it.
        assert end.again() is None
        assert DONE == []
        assert len(end.rows()) == 2_000
    # Who has what succeeded run again means all of it.
    redrive = Redrive((Cleared("work", 0, "success", None),), (), (), (), done=True)
    assert clear(end.dag, {end.run.run_id: redrive}, actor=actor)
    assert end.again() is None
    assert sorted(DONE) == list(range(2_000))
    assert len(end.rows()) == 2_000


@pytest.mark.skipif(AIRFLOW_3, reason="there nothing is kept of what succeeded")
def test_what_succeeded_runs_again_as_a_whole_where_retries_are_fewer_than_before(run, storage):
    end = run(of_work(), default_args={"retries": 1})
    end.dag.get_task("work").partial_kwargs["retries"] = 0
    tries = end.instance("work").max_tries
    redrive = Redrive((Cleared("work", 0, "success", None),), (), (), (), done=True)
    assert clear(end.dag, {end.run.run_id: redrive}, actor=Actor("retry", "somebody", {}))
    assert end.instance("work").max_tries == tries
    assert end.again() is None
    assert sorted(DONE) == list(range(2_000))


def test_a_chain_goes_on_with_what_succeeded_and_keeps_keys_and_numbers(run, storage):
    BROKEN.update({3, 2_001})

    def build():
        first = batched(task_id="work", concurrency=4)(work).expand(x=items.override(batch_size=SIZE)())

        @batched(trigger_rule="all_done", concurrency=2)
        def after(y):
            if y == 50:
                raise KeyError(y)
            return y + 1

        after.expand(y=first)

    end = run(build)
    rows, before = end.rows("after"), end.rows()
    assert {row["item"]: row["key"] for row in rows.values()} == {n: row["key"] for n, row in before.items()}
    assert [rows[n]["value"] for n in (0, 4, 1_999)] == [1, 41, 19_991]
    assert {n: row["state"] for n, row in rows.items() if row["state"] != "success"} == {
        3: "upstream_failed",
        5: "failed",
        7: "skipped",
        1_007: "skipped",
    }
    assert rows[3]["error"]["message"] == "1 is broken"
    assert end.failed("after", 1) == [2_001]
    assert end.instance("after", 1).state == "success"


def test_what_was_not_begun_is_said(run, storage):
    BROKEN.update(range(100, 200))
    end = run(of_work(stop_after=5))
    part = end.part()
    assert part["states"]["not_started"] == 2_000 - sum(one < 2_000 for one in DONE)
    assert end.rows()[1_999]["state"] == "not_started"
    BROKEN.clear()
    assert end.again() is None
    assert end.rows()[1_999]["value"] == 19_990


def test_a_label_is_kept_where_it_is_not_the_key(run, storage):
    end = run(of_work(map_index_template=label("number {id}")))
    assert end.rows()[17]["label"] == "number 17"


@pytest.mark.parametrize("storage", ["xcoms", "folder"], indirect=True)
def test_values_are_what_an_xcom_gives_back_of_any_number_of_them(run, storage, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "64")

    def returns(x):
        kinds = {
            0: pendulum.datetime(2024, 1, 1),
            1: (1, 2),
            2: "x" * 100_000,
            3: {1, object()},
            4: "a\u2028ä",
        }
        return kinds.get(x["id"], "x" * 1_000)

    end = run(of_work(returns))
    rows = end.rows()
    assert [rows[n]["value"] for n in (0, 1, 4, 5)] == [
        pendulum.datetime(2024, 1, 1),
        (1, 2),
        "a\u2028ä",
        "x" * 1_000,
    ]
    assert [rows[n]["error"]["type"] for n in (2, 3)] == ["ResultError", "ResultError"]
    assert "its result of 98 KiB is not kept: one result has 64 KiB" in rows[2]["error"]["message"]
    assert "set can't be an XCom" in rows[3]["error"]["message"]
    assert end.part()["bytes"] > 1_900_000


class TestAListThatIsTooLong:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "8")

    def build(self, then=None):
        def returns(x):
            DONE.append(x)
            if x in BROKEN:
                raise ValueError("broken")
            return "x" * 1_000

        def built():
            mapped = batched(task_id="work", concurrency=2)(returns).expand(x=batches(made(), batch_size=20))
            if then is not None:
                batched(task_id="then")(then).expand(y=mapped)

        @task
        def made():
            return list(range(25))

        return built

    def test_is_a_part_and_a_shorter_one_is_a_list(self, run, storage):
        BROKEN.update({2, 19})
        end = run(self.build())
        assert [row["value"] for row in airflows.xcom_of(end.run, "work", map_index=1)] == 5 * ["x" * 1_000]
        part = end.part()
        assert part["states"] == {"success": 18, "failed": 2}
        assert end.failed() == [2, 19]
        BROKEN.clear()
        assert end.again() is None
        assert sorted(DONE) == [2, 19]
        assert {row["value"] for row in end.rows().values()} == {"x" * 1_000}

    def test_goes_on_into_a_chain(self, run, storage):
        def then(y):
            return len(y)

        end = run(self.build(then))
        assert {row["value"] for row in end.rows("then").values()} == {1_000}


@pytest.mark.parametrize("storage", ["xcoms", "folder"], indirect=True)
def test_partitions_of_a_slice_are_published_each_and_a_retry_publishes_the_rest(run, storage, tmp_path):
    lake, source = tmp_path / "lake", tmp_path / "n.csv"
    source.write_text("n\n1\n2\n")

    @task
    def made(ti):
        with chunks(ti) if storage == "xcoms" else plan_file(ti) as place:
            ends = [place.add(line_of({"n": n}, n)) for n in (1, 2, 3)]
        return [Slice(place.where, ends[0][0], ends[-1][1], 0, 3, 3, [{"n": 1}, {"n": 3}]).as_json()]

    def build():
        DuckDBPartitionOperator.partial(
            task_id="work",
            sql=f"SELECT n, 1 AS one FROM '{source}' WHERE n = $n",
            target=str(lake),
        ).expand(partition=made())

    end = run(build)
    part = end.part(key="mapping_kit_items")
    assert (part["states"], part["failed"]) == ({"success": 2, "failed": 1}, ["n=3"])
    published = {path.parent.name: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    assert sorted(published) == ["n=1", "n=2"]

    source.write_text("n\n1\n2\n3\n")
    assert end.again() is None
    rows = end.rows(key="mapping_kit_items")
    assert [(rows[n]["key"], rows[n]["value"]["rows"]) for n in range(3)] == [
        ("n=1", 1),
        ("n=2", 1),
        ("n=3", 1),
    ]
    now = {path.parent.name: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    assert now == {**published, "n=3": now["n=3"]}
