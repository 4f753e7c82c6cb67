"""What the buttons of the page Partitions do: just what their preview showed, once, and written into the audit log."""

from __future__ import annotations

import json

import pendulum
import pytest
from airflow.models.log import Log

import airflows
import sites
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.reload import reload_params, reload_partitions
from written import Written, at

API = f"{sites.ROOT}/api/dags/reloaded"
ORIGINS = ["EWR", "JFK"]
DAYS = ["2013-01-01", "2013-01-02", "2013-01-03"]


@pytest.fixture(scope="module")
def site(metadata_db):
    if AIRFLOW_3:
        pytest.importorskip("airflow.providers.fab")
    with sites.site("fab") as made:
        yield made


@pytest.fixture
def dag(site):
    """Give a DAG of which one partition failed, and of which no run has the second day."""
    with airflows.DAG(
        "reloaded",
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        params=reload_params(origin=ORIGINS),
    ) as dag:

        @airflows.task
        def load(partition):
            return partition

        collect(load.expand(partition=reload_partitions()))
    sites.publish(dag)
    written = Written(dag)
    for number, day in enumerate((DAYS[0], DAYS[2])):
        run = written.run(f"of-{day}", started=at(number), ended=at(number + 1), state="failed")
        written.xcom(run, "reload_partitions", [{"date": day, "origin": origin} for origin in ORIGINS])
        for index in range(len(ORIGINS)):
            state = "failed" if (day, index) == (DAYS[2], 1) else "success"
            written.instance(run, "load", index, state, start=at(number), end=at(number + 1))
        written.instance(
            run, "collect_load", -1, "failed" if number else "success", start=at(number), end=at(number + 1)
        )
    written.flush(anew=True)
    with airflows.create_session() as session:
        session.query(Log).filter(Log.dag_id == "reloaded").delete()
    return dag


def said(answer, status=200):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json() if AIRFLOW_3 else answer.json


def states():
    from airflow.models.taskinstance import TaskInstance

    with airflows.create_session() as session:
        rows = session.query(TaskInstance).filter(
            TaskInstance.dag_id == "reloaded", TaskInstance.task_id != "reload_partitions"
        )
        return {(row.run_id, row.task_id, row.map_index): row.state for row in rows}


def runs():
    from airflow.models.dagrun import DagRun

    with airflows.create_session() as session:
        return {row.run_id: row.conf for row in session.query(DagRun).filter(DagRun.dag_id == "reloaded")}


def audit():
    with airflows.create_session() as session:
        rows = session.query(Log).filter(Log.dag_id == "reloaded", Log.event == "mapping_kit_redrive")
        return [(row.owner, row.run_id, json.loads(row.extra)) for row in rows]


def test_what_failed_runs_again_after_a_preview_and_nothing_else(site, dag):
    before, op = states(), site.of("op")
    assert said(op.get(f"{API}/partitions"))["cells"] == "oommof"
    shown = said(op.post(f"{API}/preview", {"what": "failed"}))
    (run,) = shown["runs"]
    assert (run["run"], run["before"], run["left"]) == (f"of-{DAYS[2]}", [], 0)
    assert [one[:3] for one in run["pieces"]] == [["load", 1, "failed"]]
    assert [one[:3] for one in run["after"]] == [["collect_load", -1, "failed"]]
    assert states() == before
    done = said(op.post(f"{API}/redrive", {"what": "failed", "digest": shown["digest"]}))
    assert done["cleared"] == 2
    assert done["started"] == []
    changed = {place for place, state in states().items() if state != before[place]}
    assert changed == {(f"of-{DAYS[2]}", "load", 1), (f"of-{DAYS[2]}", "collect_load", -1)}
    ((owner, run_id, extra),) = audit()
    assert (owner, run_id) == ("op", f"of-{DAYS[2]}")
    assert (extra["what"], extra["pieces"]) == ("failed", 1)
    # A second click finds nothing of what was agreed to.
    again = said(op.post(f"{API}/redrive", {"what": "failed", "digest": shown["digest"]}), 409)
    assert again["preview"]["instances"] == 0
    assert len(audit()) == 1


def test_a_preview_that_is_old_is_refused_with_the_new_one(site, dag):
    from airflow.models.taskinstance import TaskInstance

    op = site.of("op")
    shown = said(op.post(f"{API}/preview", {"what": "failed"}))
    with airflows.create_session() as session:
        session.query(TaskInstance).filter(
            TaskInstance.run_id == f"of-{DAYS[0]}", TaskInstance.map_index == 0
        ).update({"state": "failed"})
    before = states()
    refused = said(op.post(f"{API}/redrive", {"what": "failed", "digest": shown["digest"]}), 409)
    assert "Nothing was cleared or started" in refused["error"]
    assert refused["preview"]["pieces"] == 2
    assert states() == before
    assert audit() == []
    done = said(op.post(f"{API}/redrive", {"what": "failed", "digest": refused["preview"]["digest"]}))
    assert done["cleared"] == 4


def test_what_is_missing_is_loaded_by_runs_that_are_started_once(site, dag):
    op = site.of("op")
    shown = said(op.post(f"{API}/preview", {"what": "missing"}))
    (start,) = shown["starts"]
    assert start["pieces"] == 2
    assert start["conf"]["start_date"] == start["conf"]["end_date"] == DAYS[1]
    there = set(runs())
    done = said(op.post(f"{API}/redrive", {"what": "missing", "digest": shown["digest"]}))
    assert done == {"cleared": 0, "started": [start["run_id"]], "left": 0}
    assert set(runs()) - there == {start["run_id"]}
    assert runs()[start["run_id"]] == start["conf"]
    ((owner, run_id, _),) = audit()
    assert (owner, run_id) == ("op", start["run_id"])
    again = said(op.post(f"{API}/redrive", {"what": "missing", "digest": shown["digest"]}), 409)
    assert again["preview"]["starts"] == []
    assert set(runs()) - there == {start["run_id"]}


@pytest.mark.parametrize(
    ("asked", "pieces"),
    [
        ({"pieces": [[DAYS[0], "EWR"], [DAYS[2], "JFK"]]}, 2),
        ({"select": f"date={DAYS[0]}"}, 2),
        ({"select": "origin=JFK", "pieces": [[DAYS[0], "EWR"], [DAYS[2], "JFK"]]}, 1),
    ],
)
def test_chosen_partitions_run_again_whatever_they_are(site, dag, asked, pieces):
    shown = said(site.of("op").post(f"{API}/preview", {"what": "chosen", **asked}))
    assert sum(len(run["pieces"]) for run in shown["runs"]) == pieces


def test_a_partition_that_is_not_there_and_a_selection_that_can_not_be_read_are_refused(site, dag):
    op = site.of("op")
    gone = said(op.post(f"{API}/preview", {"what": "chosen", "pieces": [["2013-01-01", "XXX\n"]]}), 409)
    assert gone["error"] == r"The partition 2013-01-01, XXX\n is no longer there: look again."
    assert said(op.post(f"{API}/preview", {"what": "chosen", "pieces": [["EWR"]]}), 409)["error"]
    wrong = said(op.post(f"{API}/preview", {"what": "chosen", "select": "origin="}), 400)
    assert wrong["position"] == 7
    assert "digest" in said(op.post(f"{API}/redrive", {"what": "failed"}), 400)["error"]


def test_who_may_only_clear_starts_nothing_by_choosing_what_is_missing(site, dag):
    clears = site.of("clears")
    asked = {"what": "chosen", "pieces": [[DAYS[1], "EWR"], [DAYS[2], "JFK"]]}
    assert said(clears.get(f"{API}/partitions"))["can"] == {"clear": True, "start": False, "errors": False}
    shown = said(clears.post(f"{API}/preview", asked))
    assert (len(shown["runs"]), len(shown["starts"])) == (1, 1)
    before, there = states(), set(runs())
    refused = said(clears.post(f"{API}/redrive", {**asked, "digest": shown["digest"]}), 403)
    assert refused["error"] == "You may not trigger runs of this DAG, so nothing was done."
    assert said(clears.post(f"{API}/redrive", {"what": "missing", "digest": "x"}), 403)
    assert (states(), set(runs()), audit()) == (before, there, [])
    shown = said(clears.post(f"{API}/preview", {"what": "failed"}))
    assert said(clears.post(f"{API}/redrive", {"what": "failed", "digest": shown["digest"]}))["cleared"] == 2


@pytest.mark.parametrize("what", ["failed", "missing"])
def test_a_viewer_sees_what_would_be_done_and_can_not_do_it(site, dag, what):
    viewer, before, there = site.of("viewer"), states(), set(runs())
    shown = said(viewer.post(f"{API}/preview", {"what": what}))
    assert said(viewer.post(f"{API}/redrive", {"what": what, "digest": shown["digest"]}), 403)
    assert (states(), set(runs()), audit()) == (before, there, [])


def test_nothing_of_a_dag_that_is_gone_is_started(site, dag):
    from airflow.models.dag import DagModel

    with airflows.create_session() as session:
        row = session.get(DagModel, "reloaded")
        setattr(row, *(("is_stale", True) if AIRFLOW_3 else ("is_active", False)))
    refused = said(site.of("op").post(f"{API}/preview", {"what": "failed"}), 409)
    assert "reloaded is gone" in refused["error"]


SHIPPED = f"{sites.ROOT}/api/dags/shipped/settings"


@pytest.fixture
def shipped(site):
    """Give a run of which a batch is at work, and one that has ended."""
    with airflows.DAG("shipped", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

        @batched(concurrency=4)
        def ship(order):
            return order

        ship.expand(order=batches([1, 2], batch_size=2))
    sites.publish(dag)
    written = Written(dag)
    for name, ended, state in (("at_work", None, "running"), ("ended", at(1), "failed")):
        run = written.run(name, started=at(0 if ended is None else 1), ended=ended, state=state)
        written.xcom(run, "batches", [[1, 2]])
        written.instance(run, "ship", 0, state, start=at(0), end=ended)
    written.flush(anew=True)


def test_the_page_changes_it_for_who_may_clear_and_shows_it_to_who_may_see(site, shipped):
    op, viewer = site.of("op"), site.of("viewer")
    place = {"run": "at_work", "task": "ship"}
    found = said(op.post(SHIPPED, {**place, "set": {"rate": "10/s", "paused": True}}))
    assert {one["name"]: one["value"] for one in found["settings"]} == {
        "concurrency": 4,
        "stop_after": None,
        "rate": "10/s",
        "paused": True,
    }
    seen = said(viewer.get(f"{SHIPPED}?run=at_work&task=ship"))
    assert (seen["settings"], seen["may"], found["may"]) == (found["settings"], False, True)
    assert "may not change" in said(viewer.post(SHIPPED, {**place, "set": {"paused": "dag"}}), 403)["error"]
    assert "not a rate" in said(op.post(SHIPPED, {**place, "set": {"rate": "much"}}), 409)["error"]
    assert (
        "has ended"
        in said(op.post(SHIPPED, {"run": "ended", "task": "ship", "set": {"rate": "1/s"}}), 409)["error"]
    )
    assert "works on batches" in said(op.get(f"{SHIPPED}?run=at_work&task=nothing"), 404)["error"]
    said(op.post(SHIPPED, {"run": "at_work", "set": {}}), 400)
    assert said(viewer.get(f"{SHIPPED}?run=at_work&task=ship"))["settings"] == found["settings"]
    with airflows.create_session() as session:
        rows = session.query(Log).filter(Log.dag_id == "shipped", Log.event == "mapping_kit_set")
        assert [(row.owner, row.run_id) for row in rows] == [("op", "at_work")]
