"""What a history does not know, and says so instead of guessing."""

from __future__ import annotations

import importlib
import json

import pendulum
import pytest

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.history import history
from airflow_mapping_kit.partitions import date_range, partition_key
from airflow_mapping_kit.partitions import product as combined
from airflow_mapping_kit.policy import task_policy
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import AIRFLOW_3, DAG, scheduler_dag, task
from written import Written, at

pytestmark = pytest.mark.usefixtures("metadata_db")
ORIGINS = ["EWR", "JFK"]


def _written(dag_id, *, every="day", collected=True, policy=True, zone="UTC"):
    start = pendulum.datetime(2013, 1, 1, tz=zone)
    with DAG(dag_id, schedule=None, start_date=start, params=reload_params(origin=ORIGINS)) as dag:

        @task
        def load(partition):
            return partition

        loaded = load.expand(partition=reload_partitions(every=every))
        if collected:
            collect(loaded)
    for one in dag.tasks if policy else ():
        task_policy(one)
    return Written(dag)


def _loaded(written, run_id, plan, minute, *, state="success", planned=True):
    run = written.run(run_id, started=at(minute), ended=at(minute + 10))
    if planned:
        written.xcom(run, "reload_partitions", plan, when=at(minute))
    for index, _ in enumerate(plan):
        written.instance(run, "load", index, state, start=at(minute + 1), end=at(minute + 2))
    return run


def test_a_plan_that_was_deleted_leaves_its_run_out():
    written = _written("notes_deleted")
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    _loaded(written, "old", plan, 0, state="failed", planned=False)
    _loaded(written, "new", plan, 20)
    written.flush()
    found = history(written.dag)
    assert found.letters.decode() == "oo"
    assert found.notes == [
        "Not counted: old: its plan was deleted (airflow db clean), so which partitions it had is not known."
    ]
    assert found.runs[1].unread is not None


def test_a_run_with_other_dimensions_is_left_out_and_they_are_named():
    written = _written("notes_other")
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    _loaded(written, "one", plan, 0)
    _loaded(written, "two", plan, 20, state="failed")
    _loaded(written, "other", [{"country": "DE", "date": "2013-01-01"}], 40)
    written.flush()
    found = history(written.dag)
    assert found.letters.decode() == "FF"
    assert found.notes == ["Not counted: other: its partitions have other dimensions (country, date)."]


def test_an_instance_that_worked_on_another_partition_than_the_plan_has_now_counts_for_none():
    written = _written("notes_moved")
    first, second, third = combined(origin=["EWR"], date=date_range("2013-01-01", "2013-01-03"))
    run = written.run("one", started=at(0), ended=at(30))
    written.xcom(run, "reload_partitions", [second, third], when=at(10))
    for index, piece in enumerate([first, third]):
        written.instance(run, "load", index, "success", start=at(1), end=at(2))
        written.xcom(
            run,
            "load",
            {"key": partition_key(piece), "label": "", "try_number": 1},
            key="mapping_kit",
            map_index=index,
        )
    written.flush()
    found = history(written.dag)
    assert {
        found.key(cell): chr(code) for cell, code in enumerate(found.letters) if "JFK" not in found.key(cell)
    } == {
        "date=2013-01-02/origin=EWR": "m",
        "date=2013-01-03/origin=EWR": "o",
    }
    assert found.notes == [
        "In one 1 instances had worked on other partitions when its plan was made anew: they count for none."
    ]


def test_a_plan_that_is_newer_than_instances_without_records_is_named():
    written = _written("notes_newer", collected=False)
    run = _loaded(written, "one", combined(origin=ORIGINS, date=["2013-01-01"]), 0, planned=False)
    written.xcom(run, "reload_partitions", combined(origin=ORIGINS, date=["2013-01-02"]), when=at(5))
    written.flush()
    (note,) = history(written.dag).notes
    assert note.startswith("The plan of one is newer than instances that worked on it")


def test_older_runs_than_are_looked_at_are_named():
    written = _written("notes_limit")
    for number in range(3):
        _loaded(
            written, f"run {number}", combined(origin=ORIGINS, date=[f"2013-01-0{number + 1}"]), 20 * number
        )
    written.flush()
    found = history(written.dag, limit=2)
    assert [one.id for one in found.runs] == ["run 2", "run 1"]
    assert found.notes == ["Only the newest 2 runs were looked at: what older ones left is not known here."]
    assert [one.id for one in history(written.dag, limit=1, run_id="run 0").runs] == ["run 2", "run 0"]


def test_a_serialized_dag_without_notes_says_so():
    written = _written("notes_without", policy=False)
    _loaded(written, "one", combined(origin=ORIGINS, date=["2013-01-01"]), 0)
    written.flush()
    (note,) = history(scheduler_dag(written.dag)).notes
    assert "Airflow parsed the file of 'notes_without' with an earlier airflow-mapping-kit" in note


def test_a_plan_that_is_no_json_leaves_its_run_out():
    written = _written("notes_unreadable")
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    _loaded(written, "one", plan, 0)
    _loaded(written, "two", plan, 20)
    written.xcoms[-1]["value"] = 7 if isinstance(written.xcoms[-1]["value"], list) else b"\x80no json"
    written.flush()
    found = history(written.dag)
    assert found.letters.decode() == "oo"
    (note,) = found.notes
    assert note.startswith("Not counted: two: ")


@pytest.mark.parametrize(
    ("every", "zone", "first", "last", "number", "between"),
    [
        ("hour", "UTC", "2013-01-01T00", "2013-01-01T03", 4, "2013-01-01T01"),
        ("hour", "Europe/Berlin", "2024-10-27T01+0200", "2024-10-27T03+0100", 4, "2024-10-27T02+0100"),
        ("day", "America/New_York", "2013-03-09", "2013-03-11", 3, "2013-03-10"),
        ("week", "UTC", "2012-W51", "2013-W02", 4, "2013-W01"),
        ("month", "UTC", "2012-11", "2013-02", 4, "2012-12"),
        ("quarter", "UTC", "2012-Q3", "2013-Q1", 3, "2012-Q4"),
        ("year", "UTC", "2010", "2013", 4, "2011"),
    ],
)
def test_periods_between_two_that_runs_had_are_missing_whatever_their_length(
    every, zone, first, last, number, between
):
    written = _written(f"notes_{number}_{first[:10]}_{zone.replace('/', '_')}", every=every, zone=zone)
    _loaded(written, "one", combined(origin=ORIGINS, date=[first, last]), 0)
    written.flush()
    for one in (written.dag, written.stored()):
        found = history(one)
        assert len(found.dimensions[0].values) == number
        assert found.dimensions[0].cadence == every
        assert chr(found.letters[found.cell([between, "JFK"])]) == "m"
        assert found.letters[:2] + found.letters[-2:] == b"oooo"


def test_a_long_time_without_runs_is_named_and_not_filled_in():
    written = _written("notes_gap")
    _loaded(written, "one", combined(origin=ORIGINS, date=["2012-01-01", "2013-01-01"]), 0)
    written.flush()
    found = history(written.dag)
    assert found.letters.decode() == "oooo"
    assert found.notes == ["No run has date 2012-01-02 to 2012-12-31: too many to be shown as missing."]


def test_of_what_was_made_before_the_cadence_was_changed_nothing_is_missing_and_this_is_said():
    written = _written("notes_changed", every="0 7 * * *")
    # Of that time there was no JFK, and a day was lost.
    _loaded(written, "old", combined(origin=["EWR"], date=["2013-01-01T06:00", "2013-01-03T06:00"]), 0)
    _loaded(written, "new", combined(origin=ORIGINS, date=["2013-01-04T07:00", "2013-01-06T07:00"]), 20)
    written.flush()
    found = history(written.dag)
    assert [found.key(cell) for cell, code in enumerate(found.letters) if chr(code) == "m"] == [
        "date=2013-01-05T07%3A00/origin=EWR",
        "date=2013-01-05T07%3A00/origin=JFK",
    ]
    assert found.counts["o"] == 6
    assert found.notes == [
        "date 2013-01-03T06:00 and what is before it were made by another cadence or time zone than the DAG has now: "
        "nothing is shown as missing until then."
    ]


@pytest.fixture
def backend(monkeypatch):
    """Have XComs kept elsewhere, the table having nothing but names; return what is kept by name."""
    place = "airflow.sdk.execution_time.xcom" if AIRFLOW_3 else "airflow.models.xcom"
    kept = {}

    class Elsewhere(importlib.import_module(place).BaseXCom):
        @staticmethod
        def deserialize_value(result):
            value = result.value
            return kept[value if isinstance(value, str) else json.loads(value)]

    monkeypatch.setattr(f"{place}.XCom", Elsewhere)
    return kept


def test_plans_of_a_backend_are_read_through_it_and_one_that_it_lost_leaves_its_run_out(backend):
    written = _written("notes_backend")
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    for number, run_id in enumerate(["kept", "lost"]):
        run = _loaded(written, run_id, plan, 20 * number, state="failed", planned=False)
        written.xcom(run, "reload_partitions", f"s3://xcoms/{run_id}", when=at(20 * number))
        # Records are written past the backend.
        error = {"type": "OSError", "message": run_id}
        record = {"key": partition_key(plan[0]), "label": "", "try_number": 1, "error": error}
        written.xcom(run, "load", record, key="mapping_kit", map_index=0)
    backend["s3://xcoms/kept"] = plan
    written.flush()
    for one in (written.dag, written.stored()):
        found = history(one)
        assert found.letters.decode() == "ff"
        assert {group.message for group in found.errors} == {"kept", "no error is kept: the log has it"}
        (note,) = found.notes
        assert note.startswith("Not counted: lost: its plan can't be read here")


def test_partitions_that_are_no_product_are_listed_by_their_keys():
    with DAG("notes_sparse", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @task
        def rows():
            return []

        @task
        def load(partition):
            return partition

        load.expand(partition=rows())
    written = Written(dag)
    plan = [{"customer": f"c{n}", "order": f"o{n}"} for n in range(100)]
    run = written.run("one", started=at(0), ended=at(10))
    written.xcom(run, "rows", plan)
    for index in range(100):
        written.instance(run, "load", index, "failed" if index == 7 else "success", start=at(1), end=at(2))
    child = written.run("child", started=at(20), ended=at(30), kind="manual", conf={"order": 3})
    written.xcom(child, "rows", plan[7:8])
    written.instance(child, "load", 0, "success", start=at(21), end=at(22))
    written.flush()
    found = history(written.stored())
    assert [one.name for one in found.dimensions] == ["piece"]
    assert found.counts == {"o": 100}
    assert found.key(found.cell(["customer=c7/order=o7"])) == "customer=c7/order=o7"
    assert found.attempt(found.cell(["customer=c7/order=o7"])).run.id == "child"
    assert history(dag, run_id="one").counts == {"o": 99, "h": 1}
