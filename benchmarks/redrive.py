"""Measure running again what failed in many batches: `python benchmarks/redrive.py`.

A real scheduler on PostgreSQL. Of one run the items that failed are worked on twice, when nothing is broken any more:
by a new run, `mapping-kit retry --repacked`, then by `mapping-kit retry`. Counted are the CPU seconds of all
processes beyond those of an idle Airflow, the command's own too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from ways import idle_cpu

from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.usage import cpu_seconds

DAG = "redrive"
MAPPING_KIT = Path(sys.executable).with_name("mapping-kit")


def told(airflow: Airflow, run_id: str, *options: str) -> Any:
    """Return what `mapping-kit retry` says that it does."""
    command = [MAPPING_KIT, "retry", DAG, run_id, *options, "--yes", "--output", "json"]
    done = subprocess.run(
        command, env=airflow.environment, cwd=airflow.parts, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def measured(airflow: Airflow, run_id: str, idle: float, *options: str) -> tuple[float, int]:
    """Return the CPU seconds that it takes to do again what failed in a run, and in how many instances of batches."""
    cpu, start = cpu_seconds(), time.monotonic()
    found = told(airflow, run_id, *options)
    new = found["started"]["run_id"] if options else run_id
    state = airflow.wait(DAG, new, seconds=3600)
    used = cpu_seconds() - cpu - idle * (time.monotonic() - start)
    report = airflow.xcom(DAG, new, "collect_ship")
    if state != "success" or report["failed"]:
        raise SystemExit(f"{new} ended in {state}: {report['failed']} failed")
    batches = found["started"]["works_on"][0]["batches"] if options else 0
    return used, batches or sum(one["task"] == "ship" for one in found["cleared"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=40)
    parser.add_argument("--failed", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        airflow = Airflow(
            processes, postgres, home=Path(folder, "airflow"), dags_folder=Path(__file__).with_name("dags")
        )
        airflow.migrate()
        airflow.start_scheduler()
        airflow.wait_for_dag(DAG)
        mended = Path(folder, "mended")
        conf = {
            "number": options.items,
            "size": options.size,
            "failed": options.failed,
            "mended": str(mended),
        }
        run_id = airflow.trigger(DAG, conf=conf)
        if airflow.wait(DAG, run_id, seconds=3600) != "success":
            raise SystemExit(f"{run_id} ended in another state than success")
        failed = airflow.xcom(DAG, run_id, "collect_ship")["failed"]
        mended.touch()
        idle = idle_cpu()
        packed, in_new = measured(airflow, run_id, idle, "--repacked")
        plain, in_old = measured(airflow, run_id, idle)
    number = -(-options.items // options.size)
    print(
        f"| {failed:,} failed of {options.items:,} items in {number:,} batches | instances of batches | CPU seconds |"
    )
    print("|---|---|---|")
    print(f"| `mapping-kit retry` | {in_old:,} | {plain:.1f} |")
    print(f"| `mapping-kit retry --repacked` | {in_new:,} | {packed:.1f} |")
    print(f"| ratio | {in_old / in_new:.0f} | {plain / packed:.1f} |")


if __name__ == "__main__":
    main()
