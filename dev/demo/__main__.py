"""Run the demo: ``python -m demo run`` ends when it is done, ``python -m demo up`` leaves Airflow's UI open.

``python -m demo s3`` loads files from S3 into Snowflake instead, ``python -m demo table`` a year into a table.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from demo.load import load
from demo.lock import locked
from demo.progress import Bar, step
from demo.report import failures, report
from stack.airflow import AIRFLOW_3, Airflow
from stack.api import Api
from stack.celery import start_workers, wait_for_workers
from stack.ports import LOOPBACK, is_free
from stack.postgres import Postgres
from stack.processes import Processes, StackError
from stack.redis import Redis
from stack.s3 import S3

PROJECT = Path(__file__).resolve().parents[2]
STATE = PROJECT / ".demo"
DAG = "flights_reload"
BUCKET = "lake"
CONNECTION = "demo_s3"
ADMIN = "admin"
CONF = {
    "mode": "custom",
    "start_date": "2013-01-01",
    "end_date": "2013-01-31",
    "origin": ["EWR", "JFK", "LGA"],
    "target": f"s3://{BUCKET}/flights",
    "aws_conn_id": CONNECTION,
}
RUN_SECONDS = 900


def demo(console: Console, *, what: str, port: int, executor: str) -> int:
    """Start everything, do the job, show the result, end everything; return the exit status."""
    stay = what == "up"
    with locked(STATE / "lock") as lock:
        # Asked under the lock: what is left of a demo that was killed has given its port back by then.
        if stay and not is_free(port):
            raise StackError(
                f"Port {port} is taken by another program. Choose another: make up PORT={port + 1}"
            )
        home = STATE / "airflow"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        with Processes(lock) as processes:
            if what == "s3":
                succeeded, password = load(console, processes, home), ""
            elif what == "table":
                # Imported where it is asked for: the other demos have no pyiceberg.
                from demo.table import table

                succeeded, password = table(console, processes, home), ""
            else:
                succeeded, password = _reload(
                    console, processes, home, port=port if stay else None, on_celery=executor == "celery"
                )
            if stay:
                page = f"http://{LOOPBACK}:{port}/dags/{DAG}" + ("" if AIRFLOW_3 else "/grid")
                console.print(f"\nAirflow's UI: [bold]{page}[/]", highlight=False)
                console.print(f"User [bold]{ADMIN}[/], password [bold]{password}[/]", highlight=False)
                console.print("Ctrl-C ends it.", highlight=False)
                while True:
                    processes.check()
                    time.sleep(1)
            console.print("\nEnding what was started ...", highlight=False)
    return 0 if succeeded else 1


def _reload(
    console: Console, processes: Processes, home: Path, *, port: int | None, on_celery: bool
) -> tuple[bool, str]:
    with step(console, "PostgreSQL"):
        postgres = Postgres(processes, home / "parts" / "postgres.log")
    with step(console, "S3 server"):
        s3 = S3(processes, home / "parts" / "s3.log")
        s3.make_bucket(BUCKET)
    redis = None
    if on_celery:
        with step(console, "Redis"):
            redis = Redis(processes, home / "parts" / "redis.log")
    api = Api(processes, home / "parts" / "api.log")
    airflow = Airflow(
        processes,
        postgres,
        home=home,
        dags_folder=PROJECT / "dags",
        connections={
            CONNECTION: s3.airflow_connection,
            "warehouse": postgres.make_database("warehouse"),
            "api": api.airflow_connection,
        },
        # Only what is asked for runs: the DAGs' schedules would start more.
        settings={"SCHEDULER__USE_JOB_SCHEDULE": "False"},
        broker_url=redis.url if redis else None,
    )
    with step(console, "Airflow's database"):
        airflow.migrate()
    password = ""
    if port is not None:
        with step(console, "Airflow's UI"):
            password = airflow.create_admin(ADMIN)
            airflow.start_webserver(port)
        console.print(f"  http://{LOOPBACK}:{port}  user {ADMIN}  password {password}", highlight=False)
    with step(console, "Airflow's scheduler and the DAGs"):
        airflow.start_scheduler()
        workers = start_workers(airflow) if on_celery else {}
        airflow.wait_for_dag(DAG, seconds=240)
    if workers:
        with step(console, f"{len(workers)} workers"):
            wait_for_workers(airflow, workers)
    run_id = airflow.trigger(DAG, conf=CONF)

    with Bar(console, workers) as bar:

        def finished() -> bool:
            state = airflow.run(DAG, run_id)["state"]
            bar.update(
                [instance for instance in airflow.instances(DAG, run_id) if instance["map_index"] >= 0]
            )
            return state in {"success", "failed"}

        processes.wait(f"The end of the run of {DAG}", finished, seconds=RUN_SECONDS, every=0.5)
    # The server forgets its objects when it ends.
    arriving, lake = STATE / "lake.arriving", STATE / "lake"
    for stale in (arriving, lake):
        shutil.rmtree(stale, ignore_errors=True)
    objects = s3.copy_to(BUCKET, arriving)
    arriving.rename(lake)
    succeeded = bool(airflow.run(DAG, run_id)["state"] == "success")
    if objects:
        report(console, airflow, DAG, run_id, lake / "flights")
    if not succeeded:
        failures(console, airflow, DAG, run_id)
    return succeeded, password


def _stop(signum: int, _frame: object) -> None:
    raise SystemExit(128 + signum)


def main() -> int:
    """Read the arguments, run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("what", choices=["run", "up", "s3", "table"])
    parser.add_argument("--port", type=int, default=8080, help="the UI's port (default %(default)s)")
    parser.add_argument("--executor", choices=["local", "celery"], default="local", help="of `run` and `up`")
    arguments = parser.parse_args()
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), _stop)
    console = Console(highlight=False)
    try:
        return demo(console, what=arguments.what, port=arguments.port, executor=arguments.executor)
    except KeyboardInterrupt:
        console.print("\nInterrupted: everything that was started has been ended.")
        return 130
    except StackError as error:
        console.print(f"\n{error}", style="red", markup=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
