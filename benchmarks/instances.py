"""Measure what the kit adds to a mapped instance: `python benchmarks/instances.py --instances 32`.

A real scheduler on PostgreSQL runs DAGs whose instances return a number and do nothing else: one that knows nothing of
the kit; one with labels and a fan-in; one with `@task.batched`, ten items an instance. Each has a file of its own: an
instance reads its file twice. Each runs once with few and once with many instances, one DAG after another and all of
them again, in one Airflow. What an instance costs is the difference:
CPU seconds of all of Airflow's and PostgreSQL's processes, and connections that PostgreSQL was asked for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))


from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.usage import cpu_seconds

WAYS = {
    "plain_instances": "`@task`, nothing of the kit",
    "collected_instances": "`@task` with `label()` and `collect`",
    "batched_instances": "`@task.batched`, ten items, and `collect`",
}
FEW = 2


def connections(airflow: Airflow) -> int:
    """Return how many connections PostgreSQL was asked for so far."""
    time.sleep(2)  # it counts with a delay
    return int(airflow.postgres.query("SELECT sum(sessions) AS n FROM pg_stat_database")[0]["n"])


def cost(airflow: Airflow, dag_id: str, instances: int) -> tuple[float, int]:
    """Return the CPU seconds and the connections of a run."""
    before, cpu = connections(airflow), cpu_seconds()
    run_id = airflow.trigger(dag_id, conf={"instances": instances})
    state = airflow.wait(dag_id, run_id, seconds=1200)
    if state != "success":
        raise SystemExit(f"{dag_id} with {instances} instances ended in {state}")
    used = cpu_seconds() - cpu
    return used, connections(airflow) - before


def measured(options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Return what an instance costs in each round, by DAG."""
    found: dict[str, list[Any]] = {dag_id: [] for dag_id in WAYS}
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        airflow = Airflow(
            processes,
            postgres,
            home=Path(folder, "airflow"),
            dags_folder=Path(__file__).with_name("dags"),
            settings={"CORE__PARALLELISM": str(options.at_once)},
        )
        airflow.migrate()
        airflow.start_scheduler()
        for dag_id in WAYS:
            airflow.wait_for_dag(dag_id)
            cost(airflow, dag_id, FEW)  # what is imported and compiled once
        more = options.instances - FEW
        for _ in range(options.rounds):
            for dag_id, costs in found.items():
                few, many = cost(airflow, dag_id, FEW), cost(airflow, dag_id, options.instances)
                costs.append(tuple((b - a) / more for a, b in zip(few, many, strict=True)))
                print(f"{dag_id}: {costs[-1]}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=34)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    found = measured(options)
    plain = found["plain_instances"]
    print("| an instance | CPU seconds | of the plain one's | connections |\n|---|---|---|---|")
    for dag_id, title in WAYS.items():
        costs = found[dag_id]
        # Of each round the ratio: what is beside it on the machine goes up and down.
        ratio = median(one[0] / bare[0] for one, bare in zip(costs, plain, strict=True))
        print(
            f"| {title} | {median(one[0] for one in costs):.3f} | {ratio:.2f} | "
            f"{median(one[1] for one in costs):.1f} |"
        )


if __name__ == "__main__":
    main()
