"""Batches at work on a real scheduler are halted, slowed down and let go on; a witness outside counts their calls."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

DAG = "steered"
# So long calls take.
CALL_SECONDS = 0.5
BATCHES, ITEMS = 3, 100


class Witness(ThreadingHTTPServer):
    """Notes each call, and how many of an instance are in flight."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Call)
        self.calls = []
        self.in_flight = {}
        self.most = 0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Call(BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        witness, index = self.server, said["index"]
        with witness.lock:
            witness.calls.append((said["began"], time.monotonic(), *said["item"]))
            witness.in_flight[index] = witness.in_flight.get(index, 0) + 1
            witness.most = max(witness.most, witness.in_flight[index])
        time.sleep(CALL_SECONDS)
        with witness.lock:
            witness.in_flight[index] -= 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_): ...


@pytest.fixture
def witness():
    with Witness() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.versions
def test_a_run_follows_within_seconds_and_its_calls_keep_to_a_rate(stack, witness, mapping_kit):
    def set_(*options, status=0):
        exited, said, errors = mapping_kit("run", "set", DAG, run_id, "work", *options)
        assert exited == status, errors
        return said or errors

    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    run_id = stack.airflow.trigger(DAG, conf={"witness": witness.url, "batches": BATCHES, "items": ITEMS})
    stack.processes.wait("Calls are made", lambda: len(witness.calls) >= 4, seconds=120)
    set_("--pause")
    time.sleep(5)
    halted = len(witness.calls)
    assert 0 < halted < BATCHES * ITEMS
    time.sleep(2)
    assert len(witness.calls) == halted
    assert {one["state"] for one in stack.airflow.instances(DAG, run_id, "work")} == {"running"}
    assert witness.most <= 2

    begun = time.monotonic()
    set_("--resume", "--rate", "300/m", "--concurrency", "1", "--tolerated-failure-percentage", "10")
    found = json.loads(set_("--output", "json"))
    assert {one["name"]: one["value"] for one in found["settings"]} == {
        "concurrency": 1,
        "stop_after": None,
        "rate": "300/m",
        "tolerated_failure_percentage": 10,
        "paused": False,
    }
    stack.processes.wait("Calls go on", lambda: len(witness.calls) >= halted + 30, seconds=120)
    paced = sorted(began for began, _, *_ in list(witness.calls) if began > begun)
    set_("--rate", "none", "--concurrency", "30")
    assert stack.airflow.wait(DAG, run_id) == "success"
    assert 2 < witness.most <= 30
    # Every tenth of the items twice.
    assert len(witness.calls) == BATCHES * (ITEMS + ITEMS // 10)
    spacing = (60 + 2) / 300
    for first, began in enumerate(paced):
        for number, later in enumerate(paced[first + 1 :], 1):
            # Where instances share nothing, each of them has its own times; and who is waked may be late.
            assert number <= (later - began + 1) / spacing + BATCHES
    report = stack.airflow.xcom(DAG, run_id, "collect_work")
    assert (report["total"], report["failed"]) == (BATCHES * ITEMS, BATCHES * ITEMS // 10)

    refused = set_("--pause", status=2)
    assert "has ended (success)" in " ".join(refused.split())
    told = stack.postgres.query(
        "SELECT extra FROM log WHERE dag_id = %s AND event = 'cli_mapping_kit_run_set' ORDER BY id", [DAG]
    )
    assert [json.loads(row["extra"])["set"] for row in told] == [
        {"paused": True},
        {"concurrency": 1, "rate": "300/m", "tolerated_failure_percentage": 10, "paused": "dag"},
        {"concurrency": 30, "rate": None},
    ]
