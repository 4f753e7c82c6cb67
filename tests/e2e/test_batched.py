"""Batches on a real scheduler, whose worker is killed, stopped, retried and cleared; a witness counts the calls."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from airflow_mapping_kit.checkpoints.progress import SAVE_SECONDS
from stack.airflow import AIRFLOW_3

DAG = "witnessed"
CONCURRENCY = 4
# So long a call takes, where it matters.
SECONDS = 0.05


class Witness(ThreadingHTTPServer):
    """Counts what items tell it, and tells them what to become."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Told)
        self.calls = Counter()
        self.pids = set()
        self.tells = {}
        self.kill_at = None
        self.seconds = 0.0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def told(self, item, pid):
        time.sleep(self.seconds)
        with self.lock:
            self.calls[item] += 1
            self.pids.add(pid)
            if self.calls.total() == self.kill_at:
                os.kill(pid, signal.SIGKILL)
        return self.tells.get(item, "go on")


class Told(BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.server.told(said["item"], said["pid"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_): ...


@pytest.fixture
def witness():
    with Witness() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def started(stack, witness):
    """Return a function that triggers a run with the witness, and gives its id."""

    def start(**conf):
        stack.airflow.wait_for_dag(DAG)
        stack.airflow.unpause(DAG)
        return stack.airflow.trigger(DAG, conf={"witness": witness.url, **conf})

    return start


def states(stack, run_id):
    report = stack.airflow.xcom(DAG, run_id, "collect_work")
    return {row["key"]: row["state"] for row in report["results"]}


def checkpoints(stack, run_id):
    """Return what is kept of a run's batches, a chunk a row."""
    if AIRFLOW_3:
        rows = stack.postgres.query(
            "SELECT value FROM task_state_store WHERE dag_id = %s AND run_id = %s AND key LIKE 'mapping_kit/%%'",
            [DAG, run_id],
        )
        return [json.loads(row["value"]) for row in rows]
    rows = stack.postgres.query(
        "SELECT key FROM xcom WHERE dag_id = %s AND run_id = %s AND key LIKE 'mapping_kit/%%'", [DAG, run_id]
    )
    return [stack.airflow.xcom(DAG, run_id, "batches", key=row["key"]) for row in rows]


def saved(stack, run_id):
    """Return how many items the checkpoints of a run have."""
    return sum(len(chunk.split("\n")) for chunk in checkpoints(stack, run_id))


@pytest.mark.versions
# With so many digits the plan is kept elsewhere, and so are the results.
@pytest.mark.parametrize("digits", [0, 1_200])
def test_a_worker_that_is_killed_repeats_no_more_than_is_stated(stack, witness, started, digits):
    witness.kill_at, witness.seconds = 130, SECONDS
    run_id = started(items=250, batch_size=250, digits=digits)
    assert stack.airflow.wait(DAG, run_id) == "success"

    (instance,) = stack.airflow.instances(DAG, run_id, "work")
    assert (instance["state"], instance["try_number"]) == ("success", 2)
    assert set(witness.calls) == set(range(250))
    repeated = witness.calls.total() - 250
    # The machine may be busy, so saving too.
    assert 0 < repeated <= 1.5 * SAVE_SECONDS / SECONDS * CONCURRENCY + CONCURRENCY
    assert "items, 0 of them already done" not in stack.airflow.log(DAG, run_id, "work", 0, try_number=2)
    report = stack.airflow.xcom(DAG, run_id, "collect_work")
    assert sorted(row["value"] for row in report["results"]) == [n * 2 for n in range(250)]
    pushed = stack.airflow.xcom(DAG, run_id, "work", map_index=0)
    assert isinstance(pushed, dict if digits else list)
    if AIRFLOW_3:  # on Airflow 2 it stays, and where results are no list it is the results
        stack.processes.wait("Nothing is kept any more", lambda: not checkpoints(stack, run_id), seconds=30)


def test_what_was_done_before_the_last_kill_counts_in_the_fan_in(stack, witness, started):
    # The second try is killed too: nobody is left to say what became of the batch.
    witness.kill_at, witness.seconds = 120, SECONDS
    kill = witness.told

    def told(item, pid):
        answer = kill(item, pid)
        if len(witness.pids) == 2:
            os.kill(pid, signal.SIGKILL)
        return answer

    witness.told = told
    run_id = started(items=150, batch_size=150, tolerated=100)
    assert stack.airflow.wait(DAG, run_id) == "success"
    report = stack.airflow.xcom(DAG, run_id, "collect_work")
    assert (report["total"], report["succeeded"] + report["failed"]) == (150, 150)
    assert 0 < report["succeeded"] < 120
    (error,) = {row["error"]["message"] for row in report["results"] if row["error"]}
    assert error == "no exception recorded"


@pytest.mark.parametrize("how", ["marked failed", pytest.param("SIGTERM", marks=pytest.mark.versions)])
def test_stopping_an_instance_stops_its_items_and_keeps_what_is_done(stack, witness, started, how):
    witness.tells = {7: "hang", 8: "hang"}
    run_id = started(items=10)
    stack.processes.wait("Eight items are done and two hang", lambda: len(witness.calls) == 10, seconds=90)
    (pid,) = witness.pids
    task = psutil.Process(pid)
    children = stack.processes.wait("Both start a process", lambda: _two(task.children()), seconds=30)

    witness.tells = {}
    if how == "SIGTERM":
        os.kill(pid, signal.SIGTERM)
    else:
        # The fan-in runs as soon as it is marked, before the task itself hears of it: it sees what is saved.
        stack.processes.wait("What is done is saved", lambda: saved(stack, run_id) == 8, seconds=30)
        # As Airflow's UI marks it.
        stack.postgres.query(
            "UPDATE task_instance SET state = 'failed' WHERE dag_id = %s AND run_id = %s AND task_id = 'work' "
            "RETURNING 1",
            [DAG, run_id],
        )
    stack.processes.wait("The task and its children are gone", lambda: _gone([task, *children]), seconds=30)
    state = stack.airflow.wait(DAG, run_id)
    if how == "SIGTERM":
        # Its retry does what is left.
        assert state == "success"
        assert set(states(stack, run_id).values()) == {"success"}
        assert {item for item, calls in witness.calls.items() if calls > 1} == {7, 8}
    else:
        assert state == "failed"
        assert states(stack, run_id) == {
            f"item={n}": "failed" if n in {7, 8} else "success" for n in range(10)
        }
        assert max(witness.calls.values()) == 1


def _two(children):
    return children if len(children) == 2 else None


def _gone(processes):
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.versions
def test_failed_items_are_named_retried_alone_and_all_run_again_when_a_person_clears(stack, witness, started):
    witness.tells = {3: "fail", 14: "fail"}
    run_id = started(items=20, batch_size=10)
    assert stack.airflow.wait(DAG, run_id) == "failed"
    assert {item: calls for item, calls in witness.calls.items() if calls > 1} == {3: 2, 14: 2}
    assert [key for key, state in states(stack, run_id).items() if state != "success"] == [
        "item=3",
        "item=14",
    ]
    log = stack.airflow.log(DAG, run_id, "work", 0, try_number=2)
    assert "10 items, 9 of them already done. Up to 4 run at the same time" in log
    assert "[item=3] Failed, the last of 1 tries." in log
    assert "1 × ValueError: item 3 is broken" in log
    labels = [i["rendered_map_index"] for i in stack.airflow.instances(DAG, run_id, "work")]
    assert labels == ["items 1–10 of 20: item=0 … item=9", "items 11–20 of 20: item=10 … item=19"]

    witness.tells = {}
    witness.calls.clear()
    stack.airflow.clear(DAG, run_id, "work", 0, downstream=True)
    assert stack.airflow.wait(DAG, run_id) == "failed"
    assert witness.calls == dict.fromkeys(range(10), 1)
    assert [key for key, state in states(stack, run_id).items() if state != "success"] == ["item=14"]
