"""Calls a minute as a witness outside counts them: instances begin, die and are told another rate meanwhile.

Minutes, since a witness is only as good as its machine: of a window of seconds a busy one can't tell who was late.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.airflow import AIRFLOW_3, Airflow
from stack.postgres import Postgres
from stack.processes import Processes

pytestmark = pytest.mark.system
DAG = """
from __future__ import annotations
import json, os, urllib.request
from datetime import timedelta
import pendulum
from airflow_mapping_kit.compat import dag
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched

@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"witness": ""})
def rated():
    @batched(concurrency=8, rate="120/m", item_retries=1, item_retry_delay=0.1, retries=1, retry_delay=timedelta(0))
    def work(item, params=None, ti=None):
        told = json.dumps({"item": item, "pid": os.getpid()}).encode()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(params["witness"], told, 60) as answer:
            if answer.read() == b"fail":
                raise ValueError("once")

    work.expand(item=batches(list(range(300)), batch_size=60))

rated()
"""
MINUTE = 60.0


class Witness(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Call)
        self.arrived = []
        self.pids = set()
        self.items = set()
        self.lock = threading.Lock()


class Call(BaseHTTPRequestHandler):
    def do_POST(self):
        now = time.monotonic()
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.arrived.append(now)
            self.server.pids.add(said["pid"])
            first = said["item"] not in self.server.items
            self.server.items.add(said["item"])
        body = b"fail" if first and said["item"] % 10 == 0 else b"go on"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_): ...


def most_in_a_minute(times):
    return max(bisect_left(times, first + MINUTE) - place for place, first in enumerate(times))


def test_no_minute_has_more_calls_than_the_rate(tmp_path):
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "rated.py").write_text(DAG)
    with Processes() as processes, Witness() as witness:
        threading.Thread(target=witness.serve_forever, daemon=True).start()
        airflow = Airflow(
            processes,
            Postgres(processes, tmp_path / "postgres.log"),
            home=tmp_path / "airflow",
            dags_folder=dags,
            # Airflow 2 has its database for it.
            settings={"MAPPING_KIT__STORAGE": str(tmp_path / "storage"), **Airflow.notices_killed_tasks},
        )
        airflow.migrate()
        airflow.start_scheduler()
        airflow.wait_for_dag("rated")
        airflow.unpause("rated")
        run_id = airflow.trigger("rated", conf={"witness": f"http://127.0.0.1:{witness.server_port}/"})

        def set_(*options):
            command = [
                Path(sys.executable).with_name("mapping-kit"),
                "run",
                "set",
                "rated",
                run_id,
                "work",
                *options,
            ]
            subprocess.run(
                command, env=airflow.environment, cwd=airflow.parts, check=True, capture_output=True
            )

        def calls_for(seconds):
            begun = time.monotonic()
            processes.wait(
                f"Calls are made for {seconds} s",
                lambda: witness.arrived[-1] > begun + seconds,
                seconds=seconds + 60,
            )

        processes.wait("Calls are made", lambda: len(witness.arrived) > 20, seconds=120)
        killed = max(witness.pids)
        os.kill(killed, signal.SIGKILL)
        calls_for(70)
        set_("--rate", "60/m")
        slower = time.monotonic()
        calls_for(75)
        fast = time.monotonic()
        set_("--rate", "none", "--concurrency", "50")
        assert airflow.wait("rated", run_id) == "success"
        tries = [one["try_number"] for one in airflow.instances("rated", run_id, "work")]
        witness.shutdown()
    times = sorted(witness.arrived)
    bounded = times[: bisect_left(times, fast)]
    assert len(witness.items) == 300
    assert len(times) >= 330
    assert sorted(tries) == [1, 1, 1, 1, 2]
    assert 90 < most_in_a_minute(bounded) <= 120
    assert 40 < most_in_a_minute(bounded[bisect_left(bounded, slower + 5) :]) <= 60
    if AIRFLOW_3:
        assert list((tmp_path / "storage").rglob("rate/*.json"))
