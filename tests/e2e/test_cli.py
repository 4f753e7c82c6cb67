"""`mapping-kit` on a real scheduler: what it clears runs again, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.airflow import AIRFLOW_3
from stack.ports import free_port

PROGRAM = Path(sys.executable).with_name("mapping-kit")


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


@pytest.fixture
def witness():
    with Witness() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def mapping_kit(stack):
    """Return a function that runs the command where Airflow is, and gives its status, output and errors."""

    def run(*arguments, **environment):
        done = subprocess.run(
            [PROGRAM, *arguments],
            env={**stack.airflow.environment, **environment},
            cwd=stack.airflow.parts,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def failed_run(stack, witness):
    """Return a function that runs a DAG until it has failed."""

    def run(dag_id):
        stack.airflow.wait_for_dag(dag_id)
        stack.airflow.unpause(dag_id)
        run_id = stack.airflow.trigger(dag_id, conf={"witness": witness.address})
        assert stack.airflow.wait(dag_id, run_id, seconds=400) == "failed"
        return run_id

    return run


def by_place(instances):
    return {(i["task_id"], i["map_index"]): i for i in instances}


def started_again(before, after):
    """Return which instances have begun once more."""
    assert before.keys() == after.keys()
    return {place for place in after if after[place]["start_date"] != before[place]["start_date"]}


def test_of_93_pieces_the_3_that_failed_and_what_follows_run_again(stack, witness, mapping_kit, failed_run):
    airflow = stack.airflow
    witness.broken = {"EWR 2013-01-05", "LGA 2013-01-05", "LGA 2013-01-31"}
    run_id = failed_run("redriven_pieces")
    before = by_place(airflow.instances("redriven_pieces", run_id))
    assert len(witness.again()) == 93

    status, text, _ = mapping_kit("status", "redriven_pieces", "latest", "--failed", "--output", "json")
    assert status == 1
    (told,) = json.loads(text)["tasks"]
    assert told["states"] == {"success": 90, "failed": 3}
    assert [(row["label"], row["error"]["type"]) for row in told["results"]] == [
        (name, "HTTPError") for name in sorted(witness.broken)
    ]

    status, text, _ = mapping_kit("retry", "redriven_pieces", run_id, "--dry-run", "--output", "json")
    assert status == 0
    would = {(one["task"], one["map_index"]) for one in json.loads(text)["would_be_cleared"]}
    assert would == {("load", 4), ("load", 66), ("load", 92), ("collect_load", -1), ("publish", -1)}
    assert by_place(airflow.instances("redriven_pieces", run_id)) == before

    witness.broken = set()
    status, text, errors = mapping_kit("retry", "redriven_pieces", run_id, "--yes")
    assert (status, errors) == (0, "")
    assert "5 instances cleared" in text
    assert airflow.wait("redriven_pieces", run_id) == "success"
    after = by_place(airflow.instances("redriven_pieces", run_id))
    assert started_again(before, after) == would
    assert witness.again() == {"EWR 2013-01-05": 1, "LGA 2013-01-05": 1, "LGA 2013-01-31": 1}
    assert airflow.xcom("redriven_pieces", run_id, "publish") == 93
    assert mapping_kit("status", "redriven_pieces", run_id)[0] == 0


@pytest.mark.versions
def test_in_a_group_of_three_steps_only_what_failed_and_what_comes_after_it_runs_again(
    stack, witness, mapping_kit, failed_run
):
    airflow = stack.airflow
    witness.broken = {"check 3", "check 7"}
    run_id = failed_run("redriven_steps")
    before = by_place(airflow.instances("redriven_steps", run_id))
    witness.again()

    # One of them by its key first: the other stays failed.
    witness.broken = set()
    assert mapping_kit("retry", "redriven_steps", run_id, "steps", "--key", "number=3", "--yes")[0] == 0
    assert airflow.wait("redriven_steps", run_id) == "failed"
    between = by_place(airflow.instances("redriven_steps", run_id))
    three = {("steps.check", 3), ("steps.keep", 3), ("collect_steps", -1)}
    assert started_again(before, between) == three
    assert witness.again() == {"check 3": 1, "keep 3": 1}

    assert mapping_kit("retry", "redriven_steps", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_steps", run_id) == "success"
    after = by_place(airflow.instances("redriven_steps", run_id))
    seven = {("steps.check", 7), ("steps.keep", 7), ("collect_steps", -1)}
    assert started_again(between, after) == seven
    assert witness.again() == {"check 7": 1, "keep 7": 1}


def test_of_1000_items_in_batches_the_5_that_failed_are_done_again_and_with_fresh_their_batches(
    stack, witness, mapping_kit, failed_run
):
    airflow = stack.airflow
    broken = {f"order {number}" for number in (7, 8, 350, 351, 999)}
    witness.broken = set(broken)
    run_id = failed_run("redriven_batches")
    assert len(witness.again()) == 1000
    before = by_place(airflow.instances("redriven_batches", run_id, "ship"))

    status, text, _ = mapping_kit("status", "redriven_batches", run_id, "ship", "--output", "json")
    assert status == 1
    (told,) = json.loads(text)["tasks"]
    assert told["states"] == {"success": 995, "failed": 5}

    # Still broken: what was kept once has to be kept again.
    witness.broken = {"order 999"}
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "failed"
    assert witness.again() == dict.fromkeys(broken, 1)
    between = by_place(airflow.instances("redriven_batches", run_id, "ship"))
    assert started_again(before, between) == {("ship", 0), ("ship", 3), ("ship", 9)}

    assert mapping_kit("retry", "redriven_batches", run_id, "--fresh", "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "failed"
    assert witness.again() == {f"order {number}": 1 for number in range(901, 1001)}

    witness.broken = set()
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes")[0] == 0
    assert airflow.wait("redriven_batches", run_id) == "success"
    assert witness.again() == {"order 999": 1}
    report = airflow.xcom("redriven_batches", run_id, "collect_ship")
    assert (report["total"], report["succeeded"]) == (1000, 1000)
    assert {row["value"] for row in report["results"]} == {f"order {number}" for number in range(1, 1001)}


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


def test_through_the_api_what_failed_and_the_fan_in_run_again(stack, witness, mapping_kit, failed_run, api):
    airflow, (address, signed_in) = stack.airflow, api
    witness.broken = {"check 3", "check 7"}
    run_id = failed_run("redriven_steps")
    before = by_place(airflow.instances("redriven_steps", run_id))
    witness.again()

    status, text, errors = mapping_kit(
        "status",
        "redriven_steps",
        "latest",
        "steps.check",
        "--failed",
        "--output",
        "json",
        *address,
        **signed_in,
    )
    assert (status, errors) == (1, "")
    found = json.loads(text)
    assert found["run_id"] == run_id
    rows = [(row["map_index"], row["key"], row["label"]) for row in found["tasks"][0]["results"]]
    assert rows == [(3, "number=3", "number 3"), (7, "number=7", "number 7")]
    assert {row["error"]["type"] for row in found["tasks"][0]["results"]} == {"HTTPError"}

    witness.broken = set()
    status, text, errors = mapping_kit(
        "retry", "redriven_steps", run_id, "--yes", "--output", "csv", *address, **signed_in
    )
    assert (status, errors) == (0, "")
    wanted = {
        ("steps.check", 3),
        ("steps.keep", 3),
        ("steps.check", 7),
        ("steps.keep", 7),
        ("collect_steps", -1),
    }
    rows = [line.split(",") for line in text.splitlines()[1:]]
    assert {(task, int(index)) for task, index, _ in rows} == wanted
    assert airflow.wait("redriven_steps", run_id) == "success"
    after = by_place(airflow.instances("redriven_steps", run_id))
    assert started_again(before, after) == wanted
    assert witness.again() == {"check 3": 1, "keep 3": 1, "check 7": 1, "keep 7": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "redriven_step", "latest"], "Did you mean redriven_steps"),
        (["status", "redriven_steps", "nothing"], "has no run 'nothing'"),
        (["status", "redriven_steps", "latest", "steps.chek"], "Did you mean steps.check"),
        (["retry", "redriven_steps", "latest", "collect_steps"], "collect_steps is not mapped"),
        pytest.param(
            ["retry", "redriven_steps", "latest", "--key", "number=3"],
            "--key needs the database",
            marks=pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3's API clears single instances"),
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_the_api_does_not_know_or_cannot_do_is_said(stack, mapping_kit, api, arguments, said):
    stack.airflow.wait_for_dag("redriven_steps")
    if not stack.airflow.runs("redriven_steps"):
        stack.airflow.trigger("redriven_steps")
    address, signed_in = api
    status, text, errors = mapping_kit(*arguments, *address, **signed_in)
    assert (status, text) == (2, "")
    assert said in " ".join(errors.split())


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2's API knows nothing of what is done of a batch")
def test_of_a_batch_only_what_failed_is_done_again_through_the_api(
    stack, witness, mapping_kit, failed_run, api
):
    address, signed_in = api
    witness.broken = {"order 999"}
    run_id = failed_run("redriven_batches")
    witness.again()
    witness.broken = set()
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes", *address, **signed_in)[0] == 0
    assert stack.airflow.wait("redriven_batches", run_id) == "success"
    assert witness.again() == {"order 999": 1}


@pytest.mark.skipif(AIRFLOW_3, reason="on Airflow 3.3 what is done stays done")
def test_items_of_batches_are_not_done_again_through_the_api_unless_that_is_asked_for(
    stack, witness, mapping_kit, failed_run, api
):
    address, signed_in = api
    witness.broken = {"order 999"}
    run_id = failed_run("redriven_batches")
    witness.again()
    status, _, errors = mapping_kit("retry", "redriven_batches", run_id, "--yes", *address, **signed_in)
    assert status == 2
    assert "ship works on batches" in " ".join(errors.split())
    witness.broken = set()
    assert mapping_kit("retry", "redriven_batches", run_id, "--yes", "--fresh", *address, **signed_in)[0] == 0
    assert stack.airflow.wait("redriven_batches", run_id) == "success"
    assert witness.again() == {f"order {number}": 1 for number in range(901, 1001)}


def test_without_a_password_the_api_refuses_and_the_command_says_what_is_missing(mapping_kit, api):
    address, _ = api
    status, _, errors = mapping_kit("status", "redriven_steps", "latest", *address)
    assert status == 2
    assert "127.0.0.1 refuses (401): sign in with MAPPING_KIT_API_TOKEN, or with MAPPING_KIT_API_USER" in (
        " ".join(errors.split())
    )
