"""Measure a million items in one run: `python benchmarks/scale.py --items 1000000 --instances 20`.

A real scheduler with LocalExecutor works on them in batches by reference, with `[mapping_kit] storage` in a folder and
without, beside a loop in one task and beside a bare script; all of it on one PostgreSQL, one after the other. Counted
are the CPU seconds of all processes beyond those of an idle Airflow, the memory of each kind of process beyond what it
takes in a run of two items, and what the metadata database grew by.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from ways import idle_cpu

from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.usage import cpu_seconds, peaks

if TYPE_CHECKING:
    from collections.abc import Callable

WHERE = ["storage", "xcoms"]
MAPPING_KIT = Path(sys.executable).with_name("mapping-kit")
# Reads what an items file has, calls a function, writes a row a line: nothing less keeps anything.
SCRIPT = """
import json, sys
def work(key):
    return "x" * size if size else None
size = int(sys.argv[3])
with open(sys.argv[1]) as items, open(sys.argv[2], "w") as rows:
    for line in items:
        key = json.loads(line)
        rows.write(json.dumps({"key": key, "value": work(key)}) + "\\n")
"""


class Case(NamedTuple):
    """What is measured of a run."""

    title: str
    cpu: float
    memory: dict[str, int]
    bytes: int


class Bench:
    """An Airflow that has run each DAG once with two items.

    :param folder: where all files go.
    :param storage: `[mapping_kit] storage`, or nothing.
    """

    def __init__(self, processes: Processes, folder: Path, storage: str) -> None:
        self.folder = folder
        self.postgres = Postgres(processes, folder / "postgres.log")
        self.airflow = Airflow(
            processes,
            self.postgres,
            home=folder / "airflow",
            dags_folder=Path(__file__).with_name("dags"),
            settings={"CORE__PARALLELISM": "4", "MAPPING_KIT__STORAGE": storage},
        )
        self.airflow.migrate()
        self.airflow.start_scheduler()
        for dag_id in ("scale", "scale_loop"):
            self.airflow.wait_for_dag(dag_id)
        self.idle = 0.0
        self.least: dict[str, int] = {}
        with peaks() as least:
            for dag_id in ("scale", "scale_loop"):  # what is imported and compiled once
                self.run(dag_id, {"items": 2, "size": 1, "file": str(folder / "rows.jsonl")})
        self.least = least
        self.idle = idle_cpu()

    def run(self, dag_id: str, conf: dict[str, Any], expected: str = "success") -> str:
        """Run a DAG to its end and return the run id."""
        run_id = self.airflow.trigger(dag_id, conf=conf)
        state = self.airflow.wait(dag_id, run_id, seconds=7200)
        if state != expected:
            raise SystemExit(f"{dag_id} {conf} ended in {state}")
        return run_id

    def measured(self, title: str, do: Callable[[], object]) -> Case:
        """Return what something costs."""
        size, cpu, start = self._size(), cpu_seconds(), time.monotonic()
        with peaks() as most:
            do()
        used = cpu_seconds() - cpu - self.idle * (time.monotonic() - start)
        memory = {kind: mib - self.least.get(kind, 0) for kind, mib in most.items() if kind != "other"}
        found = Case(title, used, memory, self._size() - size)
        print(found, file=sys.stderr, flush=True)
        return found

    def _size(self) -> int:
        # What was updated or deleted would count twice.
        self.postgres.query("SELECT 1")
        return int(self.postgres.query("SELECT pg_database_size(current_database()) AS n")[0]["n"])


def script(folder: Path, items: int, size: int) -> Case:
    """Return what a bare script costs."""
    listed = folder / "items.jsonl"
    with listed.open("w") as file:
        for number in range(items):
            file.write(json.dumps(f"landing/2026-11-26/orders/{number:09}.json.gz") + "\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", SCRIPT, str(listed), str(folder / "rows.jsonl"), str(size)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Case(f"a bare script{_returning(size)}", used, {}, 0)


def _returning(size: int) -> str:
    return f", {size:,} bytes returned" if size else ""


def cases(options: argparse.Namespace, storage: bool) -> list[Case]:
    """Return what each way costs on one Airflow."""
    found: list[Case] = []
    with tempfile.TemporaryDirectory() as name, Processes() as processes:
        folder = Path(name)
        bench = Bench(processes, folder, f"file://{folder}/storage" if storage else "")
        where = "in storage" if storage else "in XComs"
        conf = {"items": options.items, "size": -(-options.items // options.instances)}
        if storage or "storage" not in options.where:
            for size in (0, options.bytes):
                found.append(script(folder, options.items, size))
                looped = {**conf, "bytes": size, "file": str(folder / "rows.jsonl")}
                title = f"a loop in one task{_returning(size)}"
                found.append(bench.measured(title, lambda conf=looped: bench.run("scale_loop", conf)))
        for size in (0, options.bytes):
            title = f"in {options.instances} batches, {where}{_returning(size)}"
            sized = {**conf, "bytes": size}
            found.append(bench.measured(title, lambda conf=sized: bench.run("scale", conf)))
        heals = folder / "healed"
        failing = {**conf, "heals": str(heals)}
        runs: list[str] = []
        title = f"in {options.instances} batches, {where}, 1 % fail"
        found.append(bench.measured(title, lambda: runs.append(bench.run("scale", failing, "failed"))))
        heals.touch()
        found.append(bench.measured(f"{title}: `mapping-kit retry`", lambda: retried(bench, runs[0])))
    return found


def retried(bench: Bench, run_id: str) -> None:
    """Run what failed again, and wait until all has succeeded."""
    command = [MAPPING_KIT, "retry", "scale", run_id, "--yes"]
    subprocess.run(
        command, env=bench.airflow.environment, cwd=bench.airflow.parts, check=True, stdout=sys.stderr
    )
    state = bench.airflow.wait("scale", run_id, seconds=7200)
    if state != "success":
        raise SystemExit(f"the retried run ended in {state}")


def table(found: list[Case], items: int) -> str:
    """Return the table in Markdown, each figure beside that of the script that returns as much."""
    lines = [
        f"| {items:,} items | CPU seconds | µs an item | of the script's | MiB above a run of two items "
        "| the database grew by |",
        "|---|---|---|---|---|---|",
    ]
    scripts = {one.title.partition(",")[2]: one.cpu for one in found if one.title.startswith("a bare script")}
    for one in found:
        of = next(
            (cpu for returns, cpu in scripts.items() if returns and one.title.endswith(returns)), scripts[""]
        )
        memory = ", ".join(f"{kind} {mib:+}" for kind, mib in sorted(one.memory.items())) or "–"
        lines.append(
            f"| {one.title} | {one.cpu:.1f} | {1e6 * one.cpu / items:.1f} | {one.cpu / of:.1f} | {memory} "
            f"| {one.bytes / 2**20:.1f} MiB |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument(
        "--bytes", type=int, default=1000, help="how many bytes an item returns in the larger runs"
    )
    parser.add_argument(
        "--where", nargs="+", choices=WHERE, default=WHERE, help="where plans, results and reports go"
    )
    options = parser.parse_args()
    found = [one for where in options.where for one in cases(options, where == "storage")]
    print(table(found, options.items))


if __name__ == "__main__":
    main()
