"""`mapping-kit` on a real scheduler: what it clears runs again, and nothing else does."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from instances import by_place, started_again
from stack.airflow import AIRFLOW_3
from stack.ports import free_port


class Witness(ThreadingHTTPServer):
    """Counts what is worked on, in this process, and fails what is broken; what is held waits until let go."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.counting = threading.Lock()
        self.asked = Counter()
        self.broken = set()
        self.held = set()
        self.let_go = threading.Event()

    def again(self):
        """Return what was asked since this was called last."""
        with self.counting:
            asked, self.asked = self.asked, Counter()
        return asked


class Asked(BaseHTTPRequestHandler):
    def do_GET(self):
        name = urllib.parse.unquote(self.path[1:])
        with self.server.counting:
            self.server.asked[name] += 1
        if name in self.server.held:
            self.server.let_go.wait(120)
        self.send_response(500 if name in self.server.broken else 200)
        self.end_headers()
        self.wfile.write(name.encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def witness():
    with Witness() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def failed_run(stack, witness):
    """Return a function that runs a DAG until it has failed."""

    def run(dag_id):
        stack.airflow.wait_for_dag(dag_id)
        stack.airflow.unpause(dag_id)
        run_id = stack.airflow.trigger(dag_id, conf={"witness": witness.address})
        assert stack.airflow.wait(dag_id, run_id, seconds=400) == "failed"
        return run_id

    return run


@pytest.fixture(scope="module")
def failed_steps(failed_run, witness):
    """Return a run in which the second of three steps failed for three pieces."""
    witness.broken = {f"check {number}" for number in (3, 5, 7)}
    run_id = failed_run("redriven_steps")
    witness.again()
    return run_id


@pytest.mark.versions
def test_in_a_group_of_three_steps_only_what_failed_and_what_comes_after_it_runs_again(
    stack, witness, mapping_kit, failed_steps
):
    airflow, run_id = stack.airflow, failed_steps
    before = by_place(airflow.instances("redriven_steps", run_id))

    # One of them by its key first: the others stay failed.
    witness.broken = {"check 5"}
    assert mapping_kit("retry", "redriven_steps", run_id, "steps", "--key", "number=3", "--yes")[0] == 0
    assert airflow.wait("redriven_steps", run_id) == "failed"
    between = by_place(airflow.instances("redriven_steps", run_id))
    three = {("steps.check", 3), ("steps.keep", 3), ("collect_steps", -1)}
    assert started_again(before, between) == three
    assert witness.again() == {"check 3": 1, "keep 3": 1}

    assert mapping_kit("retry", "redriven_steps", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_steps", run_id) == "failed"
    after = by_place(airflow.instances("redriven_steps", run_id))
    both = {("steps.check", 5), ("steps.check", 7), ("steps.keep", 7), ("collect_steps", -1)}
    assert started_again(between, after) == both
    assert witness.again() == {"check 5": 1, "check 7": 1, "keep 7": 1}


@pytest.fixture(scope="module")
def api(stack):
    """Start the webserver, and return the environment and the arguments that the command reaches it with."""
    port = free_port()
    password = stack.airflow.create_admin("operator")
    webserver = stack.airflow.start_webserver(port)
    signed_in = {"MAPPING_KIT_API_USER": "operator", "MAPPING_KIT_API_PASSWORD": password}
    # What has no database must not need one.
    nowhere = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"}
    yield ("--api", f"http://127.0.0.1:{port}"), {**signed_in, **nowhere}
    webserver.end()


def test_through_the_api_what_failed_and_the_fan_in_run_again(stack, witness, mapping_kit, failed_steps, api):
    airflow, run_id, (address, signed_in) = stack.airflow, failed_steps, api
    before = by_place(airflow.instances("redriven_steps", run_id))
    failed = [
        index for (task, index), i in before.items() if task == "steps.check" and i["state"] == "failed"
    ]
    assert 5 in failed

    told = ("steps.check", "--failed", "--output", "json")
    status, text, errors = mapping_kit("status", "redriven_steps", "latest", *told, *address, **signed_in)
    assert (status, errors) == (1, "")
    found = json.loads(text)
    assert found["run_id"] == run_id
    rows = [(row["map_index"], row["key"], row["label"]) for row in found["tasks"][0]["results"]]
    assert rows == [(index, f"number={index}", f"number {index}") for index in failed]
    assert {row["error"]["type"] for row in found["tasks"][0]["results"]} == {"HTTPError"}

    witness.broken = set()
    status, text, errors = mapping_kit(
        "retry", "redriven_steps", run_id, "--yes", "--output", "csv", *address, **signed_in
    )
    assert (status, errors) == (0, "")
    steps = {(f"steps.{step}", index) for step in ("check", "keep") for index in failed}
    wanted = {*steps, ("collect_steps", -1)}
    rows = [line.split(",") for line in text.splitlines()[1:]]
    assert {(task, int(index)) for task, index, _ in rows} == wanted
    assert airflow.wait("redriven_steps", run_id) == "success"
    after = by_place(airflow.instances("redriven_steps", run_id))
    assert started_again(before, after) == wanted
    assert witness.again() == {f"{step} {index}": 1 for step in ("check", "keep") for index in failed}


BROKEN = {f"order {number}" for number in (7, 8, 350, 351, 999)}


@pytest.fixture(scope="module")
def failed_batches(failed_run, witness):
    """Return a run in which 5 of 1,000 items failed, in 3 of 10 batches."""
    witness.broken = set(BROKEN)
    run_id = failed_run("redriven_batches")
    assert len(witness.again()) == 1000
    return run_id


@pytest.mark.versions
def test_the_5_of_1000_items_that_failed_in_3_batches_are_done_in_1_by_a_new_run(
    stack, witness, mapping_kit, failed_batches
):
    airflow = stack.airflow
    before = by_place(airflow.instances("redriven_batches", failed_batches))
    witness.broken = {"order 999"}
    told = ("retry", "redriven_batches", failed_batches, "--repacked", "--yes", "--output", "json")
    # Airflow 2.11 warns of its own metrics there.
    status, text, errors = mapping_kit(*told)
    assert status == 0, errors
    started = json.loads(text)["started"]["run_id"]
    assert airflow.wait("redriven_batches", started) == "failed"
    assert witness.again() == dict.fromkeys(BROKEN, 1)
    report = airflow.xcom("redriven_batches", started, "collect_ship")
    assert (report["total"], report["succeeded"]) == (5, 4)
    assert [i["map_index"] for i in airflow.instances("redriven_batches", started, "ship")] == [0]

    witness.broken = set()
    assert mapping_kit("retry", "redriven_batches", started, "--yes")[0] == 0
    assert airflow.wait("redriven_batches", started) == "success"
    assert witness.again() == {"order 999": 1}
    status, text, _ = mapping_kit("partitions", "redriven_batches", "--output", "json")
    assert status == 0, text
    assert by_place(airflow.instances("redriven_batches", failed_batches)) == before


def test_of_1000_items_in_batches_the_5_that_failed_are_done_again_and_with_fresh_their_batches(
    stack, witness, mapping_kit, failed_batches, api
):
    airflow, run_id, (address, signed_in) = stack.airflow, failed_batches, api
    before = by_place(airflow.instances("redriven_batches", run_id, "ship"))

    status, text, _ = mapping_kit("status", "redriven_batches", run_id, "ship", "--output", "json")
    assert status == 1
    (told,) = json.loads(text)["tasks"]
    assert told["states"] == {"success": 995, "failed": 5}

    # Still broken: what was kept once has to be kept again.
    witness.broken = {"order 999"}
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "failed"
    assert witness.again() == dict.fromkeys(BROKEN, 1)
    between = by_place(airflow.instances("redriven_batches", run_id, "ship"))
    assert started_again(before, between) == {("ship", 0), ("ship", 3), ("ship", 9)}

    last_batch = {f"order {number}": 1 for number in range(901, 1001)}
    if not AIRFLOW_3:
        # Airflow 2's API knows nothing of what is done of a batch: all of it again, or nothing.
        api_too = ("retry", "redriven_batches", run_id, "--yes", *address)
        status, _, errors = mapping_kit(*api_too, **signed_in)
        assert status == 2
        assert "ship works on batches" in " ".join(errors.split())
        assert mapping_kit(*api_too, "--fresh", **signed_in)[0] == 0
        assert airflow.wait("redriven_batches", run_id) == "failed"
        assert witness.again() == last_batch

    assert mapping_kit("retry", "redriven_batches", run_id, "--fresh", "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "failed"
    assert witness.again() == last_batch

    witness.broken = set()
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "success"
    assert witness.again() == {"order 999": 1}
    report = airflow.xcom("redriven_batches", run_id, "collect_ship")
    assert (report["total"], report["succeeded"]) == (1000, 1000)
    assert {row["value"] for row in report["results"]} == {f"order {number}" for number in range(1, 1001)}


# What a web server does, which has no file of the DAG: four requests at once, each of what one preview shows.
FOUR_AT_ONCE = """
import json, sys, threading
from airflow_mapping_kit.compat import own_session, stored_dag
from airflow_mapping_kit.history import history
from airflow_mapping_kit.redrive.carry_out import carry_out
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.redrive.preview import preview

with own_session() as session:
    dag = stored_dag("redriven_batches", sys.argv[1], session)
found = history(dag, "ship")
shown = preview(found, "failed")
done, start = [], threading.Barrier(4)

def carried_out():
    start.wait()
    done.append(carry_out(shown, Actor("mapping_kit_redrive", "ann", {})))

threads = [threading.Thread(target=carried_out) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
keys = [found.key(cell) for cell, code in enumerate(found.letters) if code in b"fF"]
print(json.dumps([keys, list(shown.notes), sorted((one.instances, one.left) for one in done)]))
"""


def test_four_who_run_again_what_failed_at_once_do_it_once_and_what_is_done_of_batches_stays_done(
    stack, witness, failed_run
):
    witness.broken = {"order 7", "order 350"}
    run_id = failed_run("redriven_batches")
    witness.again()
    witness.broken = set()
    told = stack.airflow.command(run_id, program=("-c", FOUR_AT_ONCE)).splitlines()[-1]
    failed, notes, done = json.loads(told)
    assert sorted(failed) == ["order=350", "order=7"]
    assert notes == ["Of these batches of ship only the items that are not done run again."]
    # Two batches and the fan-in, cleared by one of them.
    assert done == [[0, 3], [0, 3], [0, 3], [3, 0]]
    assert stack.airflow.wait("redriven_batches", run_id) == "success"
    assert witness.again() == {"order 7": 1, "order 350": 1}


def test_what_a_timeout_left_undone_is_not_started_and_runs_when_it_is_retried(
    stack, witness, mapping_kit, failed_run
):
    airflow = stack.airflow
    witness.held = {"wait a", "wait b"}
    run_id = failed_run("redriven_late")
    assert {i["state"] for i in airflow.instances("redriven_late", run_id, "wait")} == {"skipped"}

    status, text, _ = mapping_kit("status", "redriven_late", run_id, "--output", "csv")
    assert status == 1
    rows = [line.split(",") for line in text.splitlines()]
    assert [row[rows[0].index("state")] for row in rows[1:]] == ["not_started"] * 4
    assert [row[rows[0].index("label")] for row in rows[1:]] == list("abcd")

    witness.let_go.set()
    assert mapping_kit("retry", "redriven_late", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_late", run_id) == "success"
    assert airflow.xcom("redriven_late", run_id, "collect_wait")["succeeded"] == 4


def test_without_a_password_the_api_refuses_and_the_command_says_what_is_missing(mapping_kit, api):
    address, _ = api
    status, _, errors = mapping_kit("status", "redriven_steps", "latest", *address)
    assert status == 2
    assert "127.0.0.1 refuses (401): sign in with MAPPING_KIT_API_TOKEN, or with MAPPING_KIT_API_USER" in (
        " ".join(errors.split())
    )
