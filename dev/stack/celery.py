"""Airflow's workers with CeleryExecutor: each has a name, a folder and a log, and can be struck and started again.

    redis = Redis(processes, home / "parts" / "redis.log")
    airflow = Airflow(processes, postgres, home=home, dags_folder=dags, broker_url=redis.url)
    airflow.migrate()
    airflow.start_scheduler()
    workers = start_workers(airflow, 3)  # {"worker-1": Process, ...}
    wait_for_workers(airflow, workers)

The name is what Airflow has as the `hostname` of an instance, and `airflow.instances(...)` too: so the worker of an
instance is `workers[instance["hostname"]]`. A `Process` can `kill`, `kill_group`, `freeze`, `thaw` and `restart`;
after a restart `wait_for_workers` waits anew. The folder of each is `home/parts/worker-1`, its log `worker.log` there.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stack.worker_name import VARIABLE, worker_name

if TYPE_CHECKING:
    from stack.airflow_any import AnyAirflow
    from stack.processes import Process

WORKERS = 3
CONCURRENCY = 4
# Where this package is: the workers find their name there, and nothing else of the checkout.
PARTS_OF_THE_STACK = Path(__file__).resolve().parents[1]
SETTINGS = {
    "CORE__EXECUTOR": "CeleryExecutor",
    "CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
    # Some more than the workers have room for: a worker finds its next task while the scheduler looks elsewhere.
    "CORE__PARALLELISM": str(WORKERS * (CONCURRENCY + 1)),
    # By the scheduler itself: it would fork processes for each handful of tasks that it sends.
    "CELERY__SYNC_PARALLELISM": "1",
    # Airflow sets it for addresses that begin with `redis://`; that of a socket would have Celery's, an hour.
    "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
    # On a small machine a worker may take longer than a second to answer.
    "CELERY__OPERATION_TIMEOUT": "10",
    # Of Airflow 2, whose scheduler would be told of a lost worker by its DAG processor twice; a part of its own isn't.
    "SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
    # Its scheduler then takes for gone what wasn't parsed for ten minutes, and the stack parses a file once an hour.
    "SCHEDULER__DAG_STALE_NOT_SEEN_DURATION": "7200",
}


def settings(broker_url: str) -> dict[str, str]:
    """Return Airflow's settings for a broker."""
    return {**SETTINGS, "CELERY__BROKER_URL": broker_url}


def start_workers(airflow: AnyAirflow, number: int = WORKERS) -> dict[str, Process]:
    """Start workers and return them by name; on Airflow 3 once there is an API server."""
    names = (f"worker-{n}" for n in range(1, number + 1))
    return {name: _start(airflow, name) for name in names}


def wait_for_workers(airflow: AnyAirflow, workers: dict[str, Process], *, seconds: float = 180) -> None:
    """Wait until all of them take tasks."""
    airflow.processes.wait(
        f"The start of {', '.join(workers)}",
        lambda: all("ready." in worker.output for worker in workers.values()),
        seconds=seconds,
        every=0.2,
    )


def _start(airflow: AnyAirflow, name: str) -> Process:
    folder = airflow.parts / name
    folder.mkdir(exist_ok=True)
    # With a name, the provider of Airflow 2.11.2 talks to Redis before Celery forks its processes: all but the first
    # then wait for an answer that never comes (apache/airflow#59707). Airflow has the name by `worker_name` anyway.
    blocks = version("apache-airflow-providers-celery") == "3.18.0"
    named = () if blocks else ("--celery-hostname", f"{name}@{name}")
    return airflow.start(
        name,
        "celery",
        "worker",
        "--skip-serve-logs",
        # Which of them does what is Airflow's: they needn't know of each other.
        "--without-mingle",
        "--without-gossip",
        *named,
        "--pid",
        str(folder / "worker.pid"),
        folder=folder,
        log="worker.log",
        runs_tasks=True,
        env={
            "PYTHONPATH": str(PARTS_OF_THE_STACK),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{worker_name.__module__}.{worker_name.__name__}",
            VARIABLE: name,
        },
    )
