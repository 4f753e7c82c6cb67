"""Measure what early labels cost a run: `python benchmarks/early_labels.py`.

A real scheduler with LocalExecutor on PostgreSQL runs the same trivial task over the same plan, once with
`label()` and once without any, in turns. Counted are the CPU seconds of all of Airflow's and PostgreSQL's
processes from the trigger to the end of the run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))


from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.usage import cpu_seconds

DAG = """
from __future__ import annotations
import pendulum
from airflow.decorators import dag, task
from airflow_mapping_kit.labels import label

for dag_id, template in (("labelled", label("{origin} {date}")), ("unlabelled", None)):
    @dag(dag_id=dag_id, schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"pieces": 10})
    def measured():
        @task
        def plan(params=None):
            return [{"origin": "EWR", "date": f"day {n}"} for n in range(params["pieces"])]

        @task(map_index_template=template)
        def work(partition):
            return 1

        work.expand(partition=plan())

    measured()
"""


def measure(airflow: Airflow, dag_id: str, pieces: int) -> float:
    """Return the CPU seconds of one run."""
    before = cpu_seconds()
    run_id = airflow.trigger(dag_id, conf={"pieces": pieces})
    state = airflow.wait(dag_id, run_id, seconds=3600)
    used = cpu_seconds() - before
    labels = {i["rendered_map_index"] for i in airflow.instances(dag_id, run_id, "work")}
    expected = pieces if dag_id == "labelled" else 1
    if state != "success" or len(labels) != expected:
        raise SystemExit(f"{dag_id} ended in {state} with {len(labels)} different labels, not {expected}")
    return used


def main() -> None:
    """Print a Markdown table of the medians, and the median of the pairs' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        dags = Path(folder, "dags")
        dags.mkdir()
        (dags / "measured.py").write_text(DAG)
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        airflow = Airflow(processes, postgres, home=Path(folder, "airflow"), dags_folder=dags)
        airflow.migrate()
        airflow.start_scheduler()
        for dag_id in ("labelled", "unlabelled"):
            airflow.wait_for_dag(dag_id)
            measure(airflow, dag_id, 5)
        rounds = [
            {dag_id: measure(airflow, dag_id, options.pieces) for dag_id in ("unlabelled", "labelled")}
            for _ in range(options.rounds)
        ]
    print(f"{options.pieces:,} instances, CPU seconds of a run, medians of {options.rounds} paired runs\n")
    print("| | CPU seconds | an instance |\n|---|---|---|")
    for dag_id, name in (("unlabelled", "no label"), ("labelled", "`label()`, early")):
        seconds = statistics.median(one[dag_id] for one in rounds)
        print(f"| {name} | {seconds:.1f} | {seconds / options.pieces:.3f} |")
    ratio = statistics.median(one["labelled"] / one["unlabelled"] for one in rounds)
    print(f"| ratio, median of the pairs | {ratio:.3f} | |")


if __name__ == "__main__":
    main()
