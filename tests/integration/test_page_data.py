"""What the page Partitions is answered: the matrix, its mark, its size; strangers' text; a database that goes away."""

from __future__ import annotations

import gzip
import json
import sqlite3

import pytest
from airflow import settings
from sqlalchemy import create_engine, event

import airflows
import sites
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.ui import stored as stored_dags
from written import Written, at

API = f"{sites.ROOT}/api"
ORIGINS, DAYS = ["EWR", "JFK", "LGA"], ["2013-01-01", "2013-01-02"]
PLAN = [{"date": day, "origin": origin} for day in DAYS for origin in ORIGINS]
# What is no harm in JSON, and would be in HTML, in a script, in a terminal or in a header.
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE dag; --",
    "{{ 7 * 7 }}${7*7}",
    "\u202eTFEL\x1b[31m\r\nSet-Cookie: a=b",
    "\u2028\u2029\x00",
    "ünï😀cödé" + "x" * 500,
]
BAD = {"type": "OSError", "message": "<b>no such file</b>"}


def mapped(dag_id, **dimensions):
    with airflows.DAG(dag_id, schedule=None) as dag:

        @airflows.task
        def load(partition):
            return partition

        collect(load.expand(partition=product(**dimensions)))
    sites.publish(dag)
    return dag


def loaded(dag, run_id, plan, states, *, minute=0, labels=(), error=BAD):
    """Write a run of a DAG as Airflow and the kit would have left it."""
    written = Written(dag)
    run = written.run(run_id, started=at(minute), ended=at(minute + 1), state="failed")
    written.xcom(run, "product", plan)
    for index, state in enumerate(states):
        label = labels[index] if labels else None
        written.instance(run, "load", index, state, start=at(minute), end=at(minute + 1), label=label)
        if state == "failed":
            record = {"key": "k", "try_number": 1, "error": error}
            written.xcom(run, "load", record, key="mapping_kit", map_index=index)
    written.flush()


@pytest.fixture(scope="module")
def site(metadata_db):
    loaded(
        mapped("days", date=DAYS, origin=ORIGINS), "first", PLAN, ["success", "failed", "upstream_failed"] * 2
    )
    plan = [{"name": name} for name in HOSTILE]
    hostile = mapped("hostile", name=HOSTILE)
    loaded(
        hostile,
        HOSTILE[0],
        plan,
        ["failed"] * len(HOSTILE),
        labels=[name[:250].replace("\0", "") for name in HOSTILE],
        error={"type": HOSTILE[1], "message": HOSTILE[2]},
    )
    sites.publish(plain("plain"))
    with sites.site("simple") as made:
        yield made


def plain(dag_id):
    with airflows.DAG(dag_id, schedule=None) as dag:
        airflows.EmptyOperator(task_id="nothing")
    return dag


@pytest.fixture
def viewer(site):
    return site.of("viewer")


def said(answer, status=200):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json() if AIRFLOW_3 else answer.json


def test_the_matrix_says_what_became_of_each_partition(viewer):
    found = said(viewer.get(f"{API}/dags/days/partitions"))
    assert found["dag"] == {"id": "days", "name": "days", "paused": found["dag"]["paused"]}
    assert found["task"] == {
        "name": "load",
        "display": "load",
        "tasks": ["load"],
        "batched": False,
        "collected": True,
        "steered": [],
    }
    assert found["tasks"] == [{"name": "load", "display": "load"}]
    assert found["dimensions"] == [
        {"name": "date", "values": DAYS, "cadence": found["dimensions"][0]["cadence"]},
        {"name": "origin", "values": ORIGINS, "cadence": None},
    ]
    assert found["cells"] == "ofbofb"
    assert found["counts"] == {"o": 2, "f": 2, "b": 2}
    assert found["errors"] == [{**BAD, "cells": [1, 4], "n": 2}]
    assert found["attempts"]["1"] == [0, 1, 1, 60.0, "load"]
    assert [run["id"] for run in found["runs"]] == ["first"]
    assert found["runs"][0]["counts"] == {"o": 2, "f": 2, "b": 2}
    assert found["can"] == {"clear": False, "start": False, "errors": True}
    assert (found["run"], found["selection"]) == (None, None)


def test_one_run_alone_is_shown_where_it_is_asked_for(viewer):
    found = said(viewer.get(f"{API}/dags/days/partitions?run=first&task=load"))
    assert (found["run"], found["cells"]) == ("first", "ofbofb")


@pytest.mark.parametrize(("query", "words"), [("run=gone", "no run"), ("task=gone", "choose one of load")])
def test_a_run_or_a_task_that_is_gone_is_not_found(viewer, query, words):
    assert words in said(viewer.get(f"{API}/dags/days/partitions?{query}"), 404)["error"]


def test_a_dag_without_mapped_tasks_is_not_found_and_says_why(viewer):
    assert "plain has no mapped task" in said(viewer.get(f"{API}/dags/plain/partitions"), 404)["error"]


@pytest.mark.parametrize(
    ("text", "cells"),
    [("origin=JFK", [[1, 1], [4, 4]]), ("date=2013-01-02", [[3, 5]]), ("origin=E*,J*", [[0, 1], [3, 4]])],
)
def test_a_selection_is_answered_by_its_cells(viewer, text, cells):
    found = said(viewer.get(f"{API}/dags/days/partitions", **query(select=text)))
    assert found["selection"] == {"text": text, "cells": cells}


def query(**given):
    return {"params" if AIRFLOW_3 else "query_string": given}


@pytest.mark.parametrize(("text", "position"), [("origin=", 7), ("orgin=JFK", 0)])
def test_a_selection_that_can_not_be_read_says_where_and_the_matrix_is_there(viewer, text, position):
    found = said(viewer.get(f"{API}/dags/days/partitions", **query(select=text)))
    assert found["selection"]["position"] == position
    assert "the selection can't be read at character" in found["selection"]["error"]
    assert found["cells"] == "ofbofb"


def test_what_has_not_changed_is_not_sent_again(site, viewer):
    path = f"{API}/dags/days/partitions"
    first = viewer.get(path)
    mark = first.headers["etag"]
    assert json.loads(mark) == said(first)["stamp"]
    for known in (mark, f"W/{mark}", f'"x", {mark}'):
        again = viewer.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.text) == (304, "")
        assert again.headers["etag"] == mark
    assert viewer.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    # What somebody else may do is part of it.
    assert viewer.get(path).headers["etag"] != site.of("admin").get(path).headers["etag"]


def test_a_new_run_is_another_answer(viewer):
    dag = mapped("again", origin=ORIGINS)
    loaded(dag, "first", [{"origin": one} for one in ORIGINS], ["failed"] * 3)
    first = viewer.get(f"{API}/dags/again/partitions")
    assert said(first)["cells"] == "fff"
    loaded(dag, "second", [{"origin": one} for one in ORIGINS], ["success"] * 3, minute=10)
    again = viewer.get(f"{API}/dags/again/partitions", headers={"If-None-Match": first.headers["etag"]})
    assert said(again)["cells"] == "ooo"


def test_one_partition_is_answered_with_every_run_that_had_it(viewer):
    dag = mapped("twice", date=DAYS, origin=ORIGINS)
    loaded(dag, "older", PLAN, ["failed"] * 6, labels=["a label"] * 6)
    loaded(dag, "newer", PLAN[:2], ["success"] * 2, minute=10)
    found = said(viewer.get(f"{API}/dags/twice/piece?value=2013-01-01&value=JFK&task=load"))
    assert (found["values"], found["key"]) == (["2013-01-01", "JFK"], "date=2013-01-01/origin=JFK")
    newer, older = found["history"]
    assert (newer["run"], newer["state"], newer["index"]) == ("newer", "loaded", 1)
    assert (older["run"], older["state"], older["index"]) == ("older", "failed", 1)
    (tried,) = older["tasks"]
    assert tried == {
        "task": "load", "state": "failed", "tries": 1, "start": at(0).isoformat(), "seconds": 60.0,
        "label": "a label", "error": BAD,
    }  # fmt: skip


@pytest.mark.parametrize(
    "values", ["", "value=2013-01-01", "value=2013-01-01&value=XXX", "value=JFK&value=2013-01-01"]
)
def test_a_partition_that_is_not_there_is_not_found(viewer, values):
    assert "no partition" in said(viewer.get(f"{API}/dags/days/piece?{values}"), 404)["error"]


def test_every_partition_of_strangers_names_has_its_history(viewer):
    for name in HOSTILE:
        if "\0" in name:  # no parameter holds one
            continue
        found = said(viewer.get(f"{API}/dags/hostile/piece", **query(value=name)))
        assert [(turn["run"], turn["state"]) for turn in found["history"]] == [(HOSTILE[0], "failed")], name
        assert found["history"][0]["tasks"][0]["error"] == {"type": HOSTILE[1], "message": HOSTILE[2]}


def test_strangers_text_comes_as_json_and_nothing_else(viewer):
    answer = viewer.get(f"{API}/dags/hostile/partitions")
    found = said(answer)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.isascii()
    (dimension,) = found["dimensions"]
    assert sorted(dimension["values"]) == sorted(HOSTILE)
    assert found["cells"] == "f" * len(HOSTILE)
    assert [(one["type"], one["message"]) for one in found["errors"]] == [(HOSTILE[1], HOSTILE[2])]
    assert [run["id"] for run in found["runs"]] == [HOSTILE[0]]
    found = said(viewer.get(f"{API}/dags/hostile/partitions", **query(run=HOSTILE[0])))
    assert found["run"] == HOSTILE[0]


def test_what_is_asked_for_comes_back_in_errors_on_one_line_as_json(viewer):
    for text in HOSTILE:
        for name in ("run", "task"):
            answer = viewer.get(f"{API}/dags/days/partitions", **query(**{name: text}))
            error = said(answer, 400 if "\0" in text else 404)["error"]
            assert "\n" not in error
            assert "\x1b" not in error


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 packs it by itself, and tests see it unpacked")
def test_a_large_answer_is_packed(viewer):
    answer = viewer.get(f"{API}/dags/hostile/partitions", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]
    assert json.loads(gzip.decompress(answer.data))["dag"]["id"] == "hostile"
    refused = viewer.get(f"{API}/dags/hostile/partitions", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


def test_of_three_thousand_runs_the_newest_are_looked_at_in_as_many_queries_as_of_one(viewer):
    dag = mapped("often", origin=ORIGINS)
    written = Written(dag)
    for number in range(3_000):
        run = written.run(f"run-{number}", started=at(number), ended=at(number + 1))
        if number >= 2_500:
            written.xcom(run, "product", [{"origin": one} for one in ORIGINS])
            for index in range(3):
                written.instance(run, "load", index, "success", start=at(number), end=at(number + 1))
    written.flush()
    one = said(viewer.get(f"{API}/dags/days/partitions"))
    answer = viewer.get(f"{API}/dags/often/partitions")
    many = said(answer)
    assert many["cells"] == "ooo"
    assert len(many["runs"]) == 400
    assert any("newest 400 runs" in note for note in many["notes"])
    assert many["queries"] <= one["queries"]
    assert len(answer.text) < 200_000
    assert len(said(viewer.get(f"{API}/dags/often/partitions?limit=10"))["runs"]) == 10


def test_errors_and_tries_are_bounded_however_many_partitions_failed(viewer):
    names = [f"{number:05}" for number in range(12_000)]
    dag = mapped("many", name=["00000"])
    written = Written(dag)
    run = written.run("all", started=at(0), ended=at(1), state="failed")
    written.xcom(run, "product", [{"name": name} for name in names])
    for index in range(len(names)):
        written.instance(run, "load", index, "failed", start=at(0), end=at(1))
        if index < 70:
            record = {"key": "k", "try_number": 1, "error": {"type": f"E{index}", "message": "no"}}
            written.xcom(run, "load", record, key="mapping_kit", map_index=index)
    written.flush()
    answer = viewer.get(f"{API}/dags/many/partitions")
    found = said(answer)
    assert found["counts"] == {"f": 12_000}
    assert len(found["attempts"]) == 4_000
    assert len(found["errors"]) == 50
    assert found["errors"][0]["n"] == 12_000 - 70
    assert any("21 more errors" in note for note in found["notes"])
    assert len(answer.text) < 600_000


@pytest.fixture
def broken_engine(monkeypatch):
    """Have what the kit asks the database go to a server that is not there."""
    monkeypatch.setattr(settings, "engine", create_engine("postgresql+psycopg2://quokka@127.0.0.1:1/none"))


def test_a_database_that_goes_away_in_the_middle_is_said_so_in_json(viewer, broken_engine):
    for path in ("dags", "dags/days/partitions", "dags/days/piece?value=EWR"):
        error = said(viewer.get(f"{API}/{path}"), 503)["error"]
        assert "metadata database does not answer" in error
        assert "quokka" not in error


def test_a_database_that_is_gone_before_anybody_is_known_is_a_failure_and_no_sign_in(
    site, viewer, monkeypatch
):
    if not AIRFLOW_3:
        # As it is where no test runs.
        monkeypatch.setitem(site.app.config, "PROPAGATE_EXCEPTIONS", False)

    def gone(*_):
        raise sqlite3.OperationalError("unable to open database file")

    event.listen(settings.engine, "do_connect", gone)
    settings.engine.dispose()
    try:
        answer = viewer.get(f"{API}/dags/days/partitions")
    finally:
        event.remove(settings.engine, "do_connect", gone)
    # Airflow 3 looks at the token before the page is asked, and answers by itself.
    assert answer.status_code in ((500, 503) if AIRFLOW_3 else (503,))
    assert "unable to open" not in answer.text


def test_a_dag_whose_file_is_broken_or_gone_shows_what_its_runs_have_left(viewer):
    from airflow.models.dag import DagModel

    def mark(**values):
        with airflows.create_session() as session:
            for name, value in values.items():
                setattr(session.get(DagModel, "days"), name, value)

    mark(has_import_errors=True, **({"is_stale": True} if AIRFLOW_3 else {"is_active": False}))
    try:
        found = said(viewer.get(f"{API}/dags/days/partitions"))
        overview = {dag["id"] for dag in said(viewer.get(f"{API}/dags"))["dags"]}
    finally:
        mark(has_import_errors=False, **({"is_stale": False} if AIRFLOW_3 else {"is_active": True}))
    assert found["cells"] == "ofbofb"
    assert [note for note in found["notes"] if "can't be imported now" in note]
    assert [note for note in found["notes"] if "has it no more" in note]
    assert "days" not in overview


def test_dags_are_kept_in_memory_while_they_are_the_same_and_there_is_room(viewer, monkeypatch):
    monkeypatch.setattr(stored_dags, "_MOST_TASKS", 7)
    stored_dags._kept.clear()
    for name in ("days", "hostile", "days"):
        said(viewer.get(f"{API}/dags/{name}/partitions"))
    assert list(stored_dags._kept) == ["hostile", "days"]
    kept = stored_dags._kept["days"][1]
    said(viewer.get(f"{API}/dags/days/partitions"))
    assert stored_dags._kept["days"][1] is kept
