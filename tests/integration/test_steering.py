"""What is changed of batches while they run: kept once, taken by who may, and times of calls that no two get."""

from __future__ import annotations

import json
import multiprocessing
import re
import time

import pendulum
import pytest
from airflow.models.log import Log

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.exceptions import SteeringError, StorageError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.steering import in_storage
from airflow_mapping_kit.steering.change import change, held
from airflow_mapping_kit.steering.in_storage import InStorage
from airflow_mapping_kit.steering.in_tables import InTables
from airflow_mapping_kit.steering.place import Place
from airflow_mapping_kit.steering.rate import Rate
from airflow_mapping_kit.steering.slots import Alone, Lease
from airflow_mapping_kit.storage import files
from written import Written, at

ANA = Actor("somebody_set", "ana", {})


@pytest.fixture(scope="module")
def dag(metadata_db):
    with airflows.DAG("steered", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

        @batched(concurrency=4, rate="100/m")
        def ship(order):
            return order

        @airflows.task
        def plain(number):
            return number

        collect(ship.expand(order=batches([1, 2, 3, 4], batch_size=2)), tolerated_failure_percentage=5)
        plain.expand(number=[1, 2])
    return dag


@pytest.fixture
def run(dag):
    """Give a run of which one batch is at work and another waits, and one that has ended."""
    written = Written(dag)
    run = written.run("at_work", started=at(0), ended=None, state="running")
    written.xcom(run, "batches", [[1, 2], [3, 4]])
    written.instance(run, "ship", 0, "running", start=at(0), end=None)
    written.instance(run, "ship", 1, None, start=None, end=None)
    ended = written.run("ended", started=at(1), ended=at(2), state="failed")
    written.xcom(ended, "batches", [[1, 2]])
    written.flush(anew=True)
    with airflows.create_session() as session:
        session.query(Log).filter(Log.dag_id == "steered").delete()
    return "at_work"


def values(found):
    return {one["name"]: one["value"] for one in found.as_json()["settings"]}


def audit():
    with airflows.create_session() as session:
        rows = session.query(Log).filter(Log.dag_id == "steered").order_by(Log.id)
        return [(row.event, row.owner, row.run_id, json.loads(row.extra)) for row in rows]


AS_DECLARED = {
    "concurrency": 4,
    "stop_after": None,
    "rate": "100/m",
    "tolerated_failure_percentage": 5,
    "paused": False,
}


def test_what_is_set_is_kept_beside_what_was_set_before_until_it_is_as_the_dag_says(dag, run):
    assert values(held(dag, run, "ship")) == AS_DECLARED
    found = change(dag, run, "ship", {"concurrency": "8", "paused": True}, actor=ANA)
    assert (found.at_work, found.waiting) == (1, 1)
    bob = ANA._replace(owner="bob")
    change(dag, run, "ship", {"rate": "none", "tolerated_failure_percentage": "2.5"}, actor=bob)
    found = held(dag, run, "ship")
    assert values(found) == {
        "concurrency": 8,
        "stop_after": None,
        "rate": None,
        "tolerated_failure_percentage": 2.5,
        "paused": True,
    }
    assert {name: one.by for name, one in found.changed.items()} == {
        "concurrency": "ana",
        "paused": "ana",
        "rate": "bob",
        "tolerated_failure_percentage": "bob",
    }
    change(dag, run, "ship", dict.fromkeys(AS_DECLARED, "dag"), actor=ANA)
    assert values(held(dag, run, "ship")) == AS_DECLARED
    assert audit()[:2] == [
        ("somebody_set", "ana", run, {"task": "ship", "set": {"concurrency": 8, "paused": True}}),
        (
            "somebody_set",
            "bob",
            run,
            {"task": "ship", "set": {"rate": None, "tolerated_failure_percentage": 2.5}},
        ),
    ]


@pytest.mark.parametrize(
    ("where", "wanted", "said"),
    [
        (("at_work", "ship"), {"concurrency": 0}, "concurrency=0: give a whole number from 1 to 1,000"),
        (("at_work", "ship"), {"concurrency": "1001"}, "from 1 to 1,000"),
        (("at_work", "ship"), {"concurrency": True}, "concurrency=True"),
        (("at_work", "ship"), {"concurrency": "٣"}, "concurrency="),
        (("at_work", "ship"), {"stop_after": "-1"}, "stop_after='-1'"),
        (
            ("at_work", "ship"),
            {"rate": "100 a minute"},
            "'100 a minute' is not a rate: write calls per second",
        ),
        (("at_work", "ship"), {"rate": "0/s"}, "is not a rate"),
        (("at_work", "ship"), {"rate": "5000/s"}, "more than 1,000 calls per second"),
        (("at_work", "ship"), {"tolerated_failure_percentage": "nan"}, "a number from 0 to 100"),
        (("at_work", "ship"), {"tolerated_failure_percentage": 100.5}, "a number from 0 to 100"),
        (("at_work", "ship"), {"paused": "yes"}, "paused='yes'"),
        (("at_work", "ship"), {"retries": 3}, "'retries' is not a setting"),
        (("ended", "ship"), {"paused": True}, "The run ended has ended (failed)"),
        (("never", "ship"), {"paused": True}, "no run 'never'"),
        (("at_work", "plain"), {"paused": True}, "plain is not a batched task.*Its batched tasks: ship"),
        (
            ("at_work", "shop"),
            {"paused": True},
            "no task 'shop' that works on batches. Its batched tasks: ship",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_nothing_is_changed(dag, run, where, wanted, said):
    with pytest.raises(SteeringError) as refused:
        change(dag, *where, {"rate": "5/s", **wanted}, actor=ANA)
    assert re.search(re.escape(said).replace(r"\.\*", ".*"), str(refused.value))
    assert audit() == []
    assert values(held(dag, run, "ship")) == AS_DECLARED


def take(make, rates, seconds, into):
    """Take times as an instance does, and write each down: when a call may begin, and how late."""
    from airflow import settings

    settings.engine.dispose()
    slots, until = make(), time.monotonic() + seconds
    with into.open("w") as file:
        while (left := until - time.monotonic()) > 0:
            # One rate for half of the time, then the other.
            found = slots.lease(rates[0] if left > seconds / 2 else rates[1], 5)
            if not isinstance(found, Lease):
                time.sleep(min(found, 0.2))
                continue
            for begin in found.times:
                print(begin, found.late, file=file, flush=True)
                time.sleep(max(begin - time.monotonic(), 0))


def taken(make, rates, folder, seconds=4):
    """Have processes take times, one of which is killed and another begins later; return what they took."""
    fork = multiprocessing.get_context("fork")

    def taker(number, seconds):
        one = fork.Process(target=take, args=(make, rates, seconds, folder / f"{number}.txt"))
        one.start()
        return one

    folder.mkdir()
    those = [taker(number, seconds) for number in range(3)]
    time.sleep(seconds / 4)
    those[0].kill()
    those.append(taker(3, seconds / 2))
    for one in those:
        one.join()
    assert [one.exitcode for one in those] == [-9, 0, 0, 0]
    lines = [line.split() for file in folder.iterdir() for line in file.read_text().splitlines()]
    return sorted((float(begin), float(late)) for begin, late in lines)


def over_the_limit(times, rate):
    """Return how many windows could have more calls than a rate if each call began as late or as early as it may."""
    return sum(
        later - (begin + max(late, 0)) < rate.seconds
        for (begin, late), (later, _) in zip(times, times[rate.calls :], strict=False)
    )


@pytest.mark.parametrize("rates", ["20/s 20/s", "10/s 30/s"])
@pytest.mark.parametrize("kind", ["storage", "tables"])
def test_processes_that_come_go_and_die_take_times_for_no_more_calls_than_the_rate(
    kind, rates, run, tmp_path
):
    if kind == "tables" and AIRFLOW_3:
        pytest.skip("a task has no database there")
    place = Place("steered", run, "batches", "ship")
    kinds = {
        "storage": lambda: InStorage(str(tmp_path / "rate"), lambda: pytest.fail("two can write one file")),
        "tables": lambda: InTables(place),
    }
    rates = [*map(Rate.of, rates.split())]
    times = taken(kinds[kind], rates, tmp_path / "taken")
    assert len(times) > 20
    assert over_the_limit(times, max(rates)) == 0


def test_files_of_times_are_deleted_once_nobody_can_take_them_for_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(in_storage, "_KEPT_SECONDS", 0.2)
    slots = InStorage(str(tmp_path), lambda: pytest.fail("two can write one file"))
    for _ in range(12):
        slots.lease(Rate.of("100/s"), 1)
        time.sleep(0.03)
    assert len(list(tmp_path.iterdir())) < 11
    assert slots.lease(Rate.of("100/s"), 1).times


def test_where_two_can_write_one_file_each_instance_has_its_part(tmp_path, monkeypatch):
    def overwritten(uri, data):
        with files.whole(uri) as file:
            file.write(data)
        return True

    # As a store that takes the condition for granted.
    monkeypatch.setattr(files, "created", overwritten)
    slots = InStorage(str(tmp_path), lambda: Alone(4))
    before = time.monotonic()
    assert slots.lease(Rate.of("10/s"), 3).times[0] >= before + 4 * Rate.of("10/s").spacing - 0.01


def test_a_worker_whose_clock_is_hours_ahead_is_named_where_it_halts_the_others(tmp_path):
    slots = InStorage(str(tmp_path), lambda: pytest.fail("two can write one file"))
    assert slots.lease(Rate.of("10/s"), 1).times
    (tmp_path / "000000000002.json").write_text(json.dumps({"last": time.time() + 7200}))
    with pytest.raises(StorageError, match=r"starts in 7,\d\d\d s, .* synchronise the clocks of the workers"):
        slots.lease(Rate.of("10/s"), 1)
