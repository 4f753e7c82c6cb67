"""Measure the ways to work on many items: `python benchmarks/ways.py --items 100 1000`.

A real scheduler with LocalExecutor and 16 slots on PostgreSQL runs each way of `dags/ways.py` once. Counted are
the CPU seconds of all of Airflow's and PostgreSQL's processes beyond those of an idle Airflow, the time from
the start of the run to its end, and the rows that it left in the database.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))


from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.usage import cpu_seconds

HAND_MADE = "batches of {size}, a `for` loop"
BATCHED = "`@task.batched`, batches of {size}"


class Way(NamedTuple):
    """A way to do it: how it is called, its DAG, and whether it has batches."""

    title: str
    dag_id: str
    batched: bool = False


WAYS = [
    Way("a run an item, and a poll", "processor_sender"),
    Way("`TriggerDagRunPerItemOperator`", "child_runs"),
    Way("plain mapping", "plain_mapping"),
    Way("one task, a `for` loop", "one_loop"),
    Way("one task, 16 threads", "one_pool"),
    Way(HAND_MADE, "loop_a_batch", batched=True),
    Way(BATCHED, "task_batched", batched=True),
]


def measured(airflow: Airflow, dag_id: str, conf: dict[str, Any], idle: float = 0) -> dict[str, float]:
    """Return what one run costs.

    :param idle: CPU seconds a second that Airflow takes anyway.
    """
    rows = row_count(airflow)
    cpu, start = cpu_seconds(), time.monotonic()
    run_id = airflow.trigger(dag_id, conf=conf)
    state = airflow.wait(dag_id, run_id, seconds=7200)
    if state != "success":
        raise SystemExit(f"{dag_id} {conf} ended in {state}")
    used = cpu_seconds() - cpu - idle * (time.monotonic() - start)
    run = airflow.run(dag_id, run_id)
    seconds = (run["end_date"] - run["start_date"]).total_seconds()
    return {"cpu": used, "seconds": seconds, "rows": row_count(airflow) - rows}


def row_count(airflow: Airflow) -> int:
    """Return how many rows Airflow's tables have."""
    tables = airflow.postgres.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    counts = " + ".join(f'(SELECT count(*) FROM "{table["tablename"]}")' for table in tables)
    return int(airflow.postgres.query(f"SELECT {counts} AS n")[0]["n"])


def idle_cpu(seconds: float = 5) -> float:
    """Return the CPU seconds a second of an Airflow that does nothing."""
    before = cpu_seconds()
    time.sleep(seconds)  # the time that passes is what is measured
    return (cpu_seconds() - before) / seconds


def runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what every way costs, for every number of items and every wait."""
    found = []
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        airflow = Airflow(
            processes,
            postgres,
            home=Path(folder, "airflow"),
            dags_folder=Path(__file__).with_name("dags"),
        )
        airflow.migrate()
        airflow.start_scheduler()
        airflow.start_triggerer()
        for way in WAYS:
            airflow.wait_for_dag(way.dag_id)
            measured(airflow, way.dag_id, {"items": 2, "size": 1})  # what is imported and compiled once
        idle = idle_cpu()
        for items in options.items:
            for wait in options.waits:
                for way in WAYS:
                    for size in options.sizes if way.batched else [None]:
                        if way.dag_id == "loop_a_batch" and size != options.sizes[len(options.sizes) // 2]:
                            continue
                        conf = {"items": items, "wait": wait, "size": size or items}
                        cost = measured(airflow, way.dag_id, conf, idle)
                        title = way.title.format(size=size)
                        print(f"{items} × {wait} s, {title}: {cost}", file=sys.stderr, flush=True)
                        found.append({"items": items, "wait": wait, "way": title, **cost})
    return found


def table(found: list[dict[str, Any]], items: int, wait: float) -> str:
    """Return one of the tables in Markdown, each figure beside plain mapping's."""
    rows = [one for one in found if one["items"] == items and one["wait"] == wait]
    plain = next(one for one in rows if one["way"] == "plain mapping")
    kind = f"that wait {wait:g} s" if wait else "that do nothing"
    lines = [
        f"| {items:,} items {kind} | CPU seconds | ms an item | of plain mapping's "
        "| seconds | of plain mapping's | rows |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        per_item = 1000 * one["cpu"] / items
        lines.append(
            f"| {one['way']} | {one['cpu']:.1f} | {per_item:.0f} | {one['cpu'] / plain['cpu']:.3f} | "
            f"{one['seconds']:.1f} | {one['seconds'] / plain['seconds']:.2f} | {one['rows']:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with `--json` write the figures too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--waits", type=float, nargs="+", default=[0, 0.2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 50, 250])
    parser.add_argument("--json", type=Path, help="where the figures go, for the plot")
    options = parser.parse_args()
    found = runs(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    print("\n\n".join(table(found, items, wait) for items in options.items for wait in options.waits))


if __name__ == "__main__":
    main()
