"""Airflow's UI with histories to look at: ``PYTHONPATH=dev python -m seeded --port 18080 flights even_1095``.

It ends with Ctrl-C, and all that it has started and written with it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from seeded.histories import HISTORIES
from seeded.sliced import STORAGE
from stack.airflow import Airflow
from stack.ports import LOOPBACK
from stack.postgres import Postgres
from stack.processes import Processes

DAGS = Path(__file__).with_name("dags")


def main() -> None:
    """Start PostgreSQL and Airflow, write the histories, and stay."""
    parser = argparse.ArgumentParser(prog="python -m seeded", description=__doc__)
    parser.add_argument("dags", nargs="*", metavar="dag", help=f"of {', '.join(HISTORIES)}; default: all")
    parser.add_argument("--port", type=int, default=8080, help="the UI's port (default %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.dags) - set(HISTORIES):
        parser.error(
            f"there is no history of {', '.join(sorted(unknown))}; there are: {', '.join(HISTORIES)}"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        airflow = Airflow(processes, postgres, home=Path(folder, "airflow"), dags_folder=DAGS)
        airflow.environment["AIRFLOW__MAPPING_KIT__STORAGE"] = STORAGE
        airflow.migrate()
        password = airflow.create_admin("admin")
        airflow.start_webserver(options.port)
        airflow.start_scheduler()
        for dag_id in options.dags or HISTORIES:
            airflow.wait_for_dag(dag_id)
            began = time.monotonic()
            HISTORIES[dag_id](postgres)
            print(f"{dag_id}: written in {time.monotonic() - began:.1f} s", flush=True)
            airflow.unpause(dag_id)
        postgres.query("ANALYZE")
        print(
            f"http://{LOOPBACK}:{options.port}, user admin, password {password}; Ctrl-C ends it", flush=True
        )
        while True:
            processes.check()
            time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Interrupted: everything that was started has been ended.")
