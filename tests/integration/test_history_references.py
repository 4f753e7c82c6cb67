"""Histories of plans and results by reference: of few items each is a partition, of many the batches are."""

from __future__ import annotations

import json
import os
import sys
import time

import pendulum
import pytest
from airflow.models.serialized_dag import SerializedDagModel

from airflow_mapping_kit.cli.program import main
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.history import history, references, shelf
from airflow_mapping_kit.history.piece import history_of
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.plans.chunks import chunk_key
from airflows import AIRFLOW_3, DAG
from webservers import serving
from written import Written, at, noted

SLOW = {"type": "HTTPError", "message": "503 Slow Down"}
ITEMS = [{"day": str(number // 4 + 1), "part": str(number % 4)} for number in range(10)]
KEYS = [f"day={item['day']}/part={item['part']}" for item in ITEMS]

pytestmark = pytest.mark.usefixtures("metadata_db")


def _dag(dag_id):
    with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @generator
        def landed():
            return [ITEMS]

        @batched
        def load(partition):
            return partition

        collect(load.expand(partition=landed()))
    return noted(dag)


def _plan(written, run, folder, *, in_file):
    """Write a plan of ten items in slices of four, four and two."""
    lines = [json.dumps(item) for item in ITEMS]
    if in_file:
        path = folder / f"{run['run_id']}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        where = path.as_uri()
        size = len(lines[0]) + 1
        places = [(0, 4 * size), (4 * size, 8 * size), (8 * size, 10 * size)]
    else:
        where, places = "xcom:landed/0a1b", [(0, 2), (1, 3), (2, 4)]
        for number, first in enumerate(range(0, 10, 3)):
            chunk = {"first": first, "lines": "\n".join(lines[first : first + 3])}
            written.xcom(run, "landed", chunk, key=chunk_key("0a1b", number))
    plan = [
        {"mapping_kit_items": [where, start, end, first, count, 10, [ITEMS[first], ITEMS[first + count - 1]]]}
        for (start, end), first, count in zip(places, (0, 4, 8), (4, 4, 2), strict=True)
    ]
    written.xcom(run, "landed", plan)


def _part(written, run, folder, map_index, first, states):
    """Write what an instance left of its batch: a part in a file, with those that failed apart."""
    rows = [
        {"item": first + n, "key": KEYS[first + n], "state": state, "value": None,
         "error": SLOW if state == "failed" else None, "tries": 2, "duration_s": 0.5}
        for n, state in reversed(list(enumerate(states)))
    ]  # fmt: skip
    path, failed = (folder / f"{run['run_id']}.{map_index}{end}" for end in (".jsonl", ".failed.jsonl"))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    bad = [row for row in rows if row["state"] == "failed"]
    failed.write_text("".join(f"{json.dumps(row)}\n" for row in bad))
    part = {
        "where": path.as_uri(), "task_id": "load", "map_index": map_index, "max_tries": 0, "first": first,
        "count": len(states), "total": 10, "bytes": path.stat().st_size,
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "errors": [["HTTPError: 503 Slow Down", len(bad)]] if bad else [], "failed": [row["key"] for row in bad],
        "failed_in": failed.as_uri() if bad else None,
    }  # fmt: skip
    written.xcom(run, "load", {"mapping_kit_part": part}, map_index=map_index)
    written.instance(run, "load", map_index, "failed" if bad else "success", start=at(2), end=at(3))


def _written(dag_id, folder, *, in_file=True):
    dag = _dag(dag_id)
    written = Written(dag)
    run = written.run("one", started=at(0), ended=at(10), state="failed")
    _plan(written, run, folder, in_file=in_file)
    _part(written, run, folder, 0, 0, ["success", "failed", "success", "failed"])
    _part(written, run, folder, 1, 4, ["success", "success", "skipped", "success"])
    _part(written, run, folder, 2, 8, ["success", "success"])
    written.flush()
    return dag, written


@pytest.mark.parametrize("in_file", [True, False], ids=["in a file", "among XComs"])
def test_items_by_reference_are_partitions_of_their_own(tmp_path, in_file):
    dag, written = _written(f"references_{in_file}", tmp_path, in_file=in_file)
    for one in (dag, written.stored()):
        found = history(one)
        assert [found.key(cell) for cell in range(10)] == KEYS
        assert found.letters.decode() == "ofofoosooo.."
        assert [(error.message, error.cells) for error in found.errors] == [("503 Slow Down", [1, 3])]
        assert found.attempt(3).map_index == 0
        assert not found.notes
    (turn,) = history_of(dag, KEYS[3])
    assert (turn.state, turn.map_index, turn.tasks[0].error, turn.tasks[0].try_number) == (
        "failed",
        0,
        SLOW,
        2,
    )
    assert history_of(dag, KEYS[4])[0].state == "loaded"


def test_of_a_run_with_more_items_than_are_read_batches_are_shown_by_their_ends(tmp_path, monkeypatch):
    dag, _ = _written("references_many", tmp_path)
    monkeypatch.setattr(references, "MOST_ITEMS", 9)
    found = history(dag)
    ends = ["day=1/part=0 … day=1/part=3", "day=2/part=0 … day=2/part=3", "day=3/part=0 … day=3/part=1"]
    assert [found.key(cell) for cell in range(len(found))] == ends
    assert [one.name for one in found.dimensions] == ["batch"]
    assert found.letters.decode() == "foo"
    assert found.notes == [
        "Shown by their batches: one. A run of them has up to 10 items, too many to be shown one by one: "
        "`mapping-kit status references_many one load` shows those of a run."
    ]
    (turn,) = history_of(dag, ends[0])
    assert (turn.state, turn.map_index) == ("failed", 0)


def test_where_the_plan_is_gone_batches_are_shown_and_where_results_are_what_summaries_tell(tmp_path):
    dag, _ = _written("references_gone", tmp_path)
    for path in tmp_path.glob("one.0*.jsonl"):
        path.unlink()
    found = history(dag)
    assert found.letters.decode() == "ofofoosooo.."
    assert [(error.message, error.cells) for error in found.errors] == [("HTTPError: 503 Slow Down", [1, 3])]
    (note,) = found.notes
    assert note.startswith(
        "The results of 1 batch can't be read here, so what is shown of their items is what"
    )
    (tmp_path / "one.jsonl").unlink()
    # What was read before is known, as long as the process lives.
    assert history(dag).letters.decode() == "ofofoosooo.."
    other, _ = _written("references_gone_unseen", tmp_path)
    (tmp_path / "one.jsonl").write_text("")
    found = history(other)
    assert found.letters.decode() == "foo"
    (note,) = found.notes
    assert note.startswith("Shown by their batches: one. Their items can't be read here: file://")
    assert "has changed since the plan was made" in note


def test_storage_that_never_answers_holds_nobody_up(tmp_path, monkeypatch):
    dag, _ = _written("references_slow", tmp_path)
    (tmp_path / "one.jsonl").unlink()
    os.mkfifo(tmp_path / "one.jsonl")
    monkeypatch.setattr(shelf, "SECONDS", 0.3)
    monkeypatch.setattr(shelf, "_slow", {})
    began = time.monotonic()
    found = history(dag)
    assert time.monotonic() - began < 5
    assert found.letters.decode() == "foo"
    assert found.notes == [
        "Shown by their batches: one. Their items can't be read here: file:// takes too long to answer."
    ]
    # So nobody waits for a read any more.
    with (tmp_path / "one.jsonl").open("w") as pipe:
        pipe.write("")


@pytest.mark.parametrize("allowed", [True, False], ids=["reachable", "refused"])
def test_of_an_instance_that_was_killed_what_it_had_saved_in_storage_is_loaded(
    tmp_path, monkeypatch, allowed
):
    dag = _dag(f"references_killed_{allowed}")
    written = Written(dag)
    run = written.run("one", started=at(0), ended=at(10), state="failed")
    _plan(written, run, tmp_path, in_file=True)
    for index in range(3):
        written.instance(
            run, "load", index, "failed" if index == 1 else "success", start=at(2), end=at(3), max_tries=1
        )
    written.flush()
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor" if allowed else "CeleryExecutor")
    for tries, number in ((0, 7), (1, 5)):  # what was saved before somebody cleared it does not count
        row = {"item": number, "key": KEYS[number], "state": "success", "value": None, "error": None, "tries": 1,
               "duration_s": 1.0}  # fmt: skip
        place = tmp_path / dag.dag_id / "one" / "load" / f"1.{tries}"
        place.mkdir(parents=True)
        (place / "0a0a0a0a-000000.jsonl").write_text(f"{json.dumps(row)}\n")
    found = history(dag)
    assert found.letters.decode() == ("oooofoffoo.." if allowed else "ooooffffoo..")
    assert [note[:45] for note in found.notes] == (
        [] if allowed else ["The results of 1 batch can't be read here, so"]
    )


def test_the_api_tells_of_items_what_summaries_have_and_where_their_rows_are(tmp_path, capsys, monkeypatch):
    dag, _ = _written("references_api", tmp_path)
    if not AIRFLOW_3:
        SerializedDagModel.write_dag(dag)
    monkeypatch.setenv("MAPPING_KIT_API_USER", "quagga")
    monkeypatch.setenv("MAPPING_KIT_API_PASSWORD", "zyzzyva")
    with serving(tmp_path) as address:
        monkeypatch.setattr(
            sys,
            "argv",
            ["mapping-kit", "status", "references_api", "one", "--api", address, "--output", "json"],
        )
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 1
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    assert task["states"] == {"success": 2, "failed": 1}
    assert task["note"] == (
        "Its pieces are batches. In those that failed 2 of 4 items failed: day=1/part=3, day=1/part=1. Their rows are "
        f"not read through the API: they are in {(tmp_path / 'one.0.failed.jsonl').as_uri()}. `mapping-kit status` "
        "beside the database shows each."
    )
