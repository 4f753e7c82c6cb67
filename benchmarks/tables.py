"""Measure what many writers do to one Iceberg table: `python benchmarks/tables.py --days 365 --writers 16`.

Every partition of a year is replaced twice over, in two tables that hold the same before. Once the writers stage with
`DuckDBPartitionOperator` and one commit publishes; once each commits its own partitions one by one with pyiceberg, and
tries again what was refused, until all is done or `--seconds` have passed. Imports count in neither: a writer that
only stages has no pyiceberg to import.

While they work, a reader looks at the table all the time. All rows of a partition say which load they are of.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from stack.catalog import Catalog
from stack.flights_table import Reader, make_table
from stack.processes import Processes
from stack.usage import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyiceberg.table import Table

SOURCE = Path(__file__).resolve().parents[1] / "include" / "data" / "flights-2013.parquet"
ORIGINS = ("EWR", "JFK", "LGA")
# Which load a row is of: distances are below 10,000 miles.
ROWS = """
SELECT * REPLACE ((distance + 10000 * $load::INT)::INT AS distance)
FROM read_parquet($source) WHERE origin = $origin AND date = $date::DATE
"""
ANSWER = "answer: "
HELD = "SELECT origin, date::VARCHAR, count(*), sum(distance) FROM flights GROUP BY ALL ORDER BY ALL"


# -- What a writer does: a process of its own, which says when it is ready, and begins when it is told


def look(work: dict[str, Any]) -> Iterator[Any]:
    """Look the table up."""
    from airflow_mapping_kit.tables import formats

    yield None
    yield formats.look("iceberg", {"name": work["name"], "conn_id": "lake"}, {})


def stage(work: dict[str, Any]) -> Iterator[Any]:
    """Stage partitions as a mapped instance does."""
    from airflow.models.dag import DAG

    from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

    operator = DuckDBPartitionOperator(
        task_id="load",
        dag=DAG("flights", schedule=None),
        sql=ROWS,
        target=work["table"],
        partition=work["partitions"],
        parameters={"source": str(SOURCE), "load": work["load"]},
    )
    instance = SimpleNamespace(
        xcom_push=lambda *_: None,
        test_mode=True,
        dag_id="flights",
        task_id="load",
        run_id=work["run"],
        map_index=-1,
        try_number=1,
        max_tries=0,
    )
    yield None
    yield operator.execute({"ti": instance, "task": operator})


def publish(work: dict[str, Any]) -> Iterator[Any]:
    """Publish as the fan-in does."""
    from airflow_mapping_kit.tables import formats
    from airflow_mapping_kit.tables.iceberg import publish as _imported  # noqa: F401
    from airflow_mapping_kit.tables.staged import run_of

    yield None
    yield formats.publish(work["table"], work["pieces"], run_of("flights", work["run"], "load"))


def commit(work: dict[str, Any]) -> Iterator[Any]:
    """Replace partitions with a commit for each, as people write it without the kit; again what was refused."""
    import logging

    import duckdb
    import pyarrow as _imported  # noqa: F401, ICN001
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import CommitFailedException

    table = load_catalog("lake", **work["catalog"]).load_table(work["name"])
    source = duckdb.connect(config={"threads": 1})
    done, refused, again = 0, 0, []
    # It says so each time that it tries again by itself.
    logging.getLogger("pyiceberg.table").addFilter(again.append)
    yield None
    ends = time.monotonic() + work["seconds"]
    for partition in work["partitions"]:
        rows = source.execute(ROWS, {**partition, "source": str(SOURCE), "load": work["load"]}).arrow()
        rows = rows if hasattr(rows, "num_rows") else rows.read_all()
        while time.monotonic() < ends:
            try:
                table.refresh().dynamic_partition_overwrite(rows)
            except CommitFailedException:  # noqa: PERF203 - that is what is counted
                refused += 1
            else:
                done += 1
                break
    yield {"done": done, "refused": refused, "again": len(again)}


STEPS = {"look": look, "stage": stage, "publish": publish, "commit": commit}


def child(what: str) -> None:
    """Read the work, say that all is imported, wait, work, and print what came of it."""
    steps = STEPS[what](json.loads(sys.stdin.readline()))
    next(steps)
    print("ready", flush=True)
    sys.stdin.readline()
    print(ANSWER + json.dumps(next(steps)), flush=True)


# -- What is measured


@dataclass
class Measured:
    """What something took, all processes together."""

    seconds: float = 0
    cpu: float = 0
    answers: list[Any] = field(default_factory=list)


def run(what: str, works: Sequence[dict[str, Any]], environment: dict[str, str]) -> Measured:
    """Let processes do this, all at once; their start and their imports don't count."""
    children = [
        subprocess.Popen(
            [sys.executable, __file__, "--child", what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in works
    ]
    for one, work in zip(children, works, strict=True):
        print(json.dumps(work), file=one.stdin, flush=True)
    for one in children:
        _line(one, "ready")
    began, cpu = time.monotonic(), cpu_seconds()
    for one in children:
        print(file=one.stdin, flush=True)
    answers = [json.loads(_line(one, ANSWER)) for one in children]
    measured = Measured(time.monotonic() - began, cpu_seconds() - cpu, answers)
    for one in children:
        one.communicate()
    return measured


def _line(process: subprocess.Popen[str], beginning: str) -> str:
    """Return what the next line says that begins so: Airflow logs to the same place."""
    for line in process.stdout or ():
        if line.startswith(beginning):
            return line.removeprefix(beginning)
    raise SystemExit("A writer ended before it was done.")


def held(table: Table) -> list[tuple[Any, ...]]:
    """Return what each partition of a table holds."""
    import duckdb

    with duckdb.connect() as connection:
        connection.register("flights", table.refresh().scan().to_arrow())
        return list(connection.execute(HELD).fetchall())


def wanted(load: int, partitions: Sequence[dict[str, str]]) -> list[tuple[Any, ...]]:
    """Return what each partition has to hold, out of the source."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "WITH flights AS (SELECT * REPLACE (distance::INT + 10000 * $load AS distance) "
            "FROM read_parquet($source)) " + HELD,
            {"load": load, "source": str(SOURCE)},
        ).fetchall()
    names = {(one["origin"], one["date"]) for one in partitions}
    return [row for row in rows if row[:2] in names]


def metadata_files(table: Table) -> int:
    """Return how many files of metadata there are."""
    return sum(1 for _ in Path(table.location().removeprefix("file://"), "metadata").iterdir())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=300, help="how long they may commit one by one")
    parser.add_argument("--look-every", type=float, default=2, help="seconds between two looks of the reader")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        for line in measured(options, Path(folder), processes):
            print(line, flush=True)


def measured(options: argparse.Namespace, folder: Path, processes: Processes) -> Iterator[str]:
    """Measure both, and give the lines of the table."""
    catalog = Catalog(processes, folder / "catalog.log", warehouse=folder / "warehouse")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW_CONN_LAKE": catalog.airflow_connection,
        # What a writer would wait for if the machine's owner has a proxy.
        "NO_PROXY": "*",
    }
    days = [(date(2013, 1, 1) + timedelta(number)).isoformat() for number in range(options.days)]
    partitions = [{"date": day, "origin": origin} for day in days for origin in ORIGINS]
    shares = [partitions[number :: options.writers] for number in range(options.writers)]

    def staged_and_published(table: Table, load: int) -> tuple[Measured, Measured]:
        name = ".".join(table.name())
        (described,) = run("look", [{"name": name}], environment).answers
        work = {"table": described, "load": load, "run": f"run {load} of {name}"}
        staged = run("stage", [{**work, "partitions": share} for share in shares], environment)
        pieces = [piece for answer in staged.answers for piece in answer]
        return staged, run("publish", [{**work, "pieces": pieces}], environment)

    def committed(table: Table, load: int) -> Measured:
        work = {
            "name": ".".join(table.name()),
            "load": load,
            "catalog": {**catalog.client().properties, "type": "rest"},
            "seconds": options.seconds,
        }
        return run("commit", [{**work, "partitions": share} for share in shares], environment)

    one_commit, many_commits = make_table(catalog, "lake.published"), make_table(catalog, "lake.committed")
    for table in (one_commit, many_commits):
        staged_and_published(table, 0)
    count = len(partitions)
    names = (
        f"{count:,} partitions, {options.writers} writers", "done", "seconds", "CPU seconds", "CPU ms a partition",
        "commits refused", "snapshots", "files of metadata", "looks of a reader", "mixtures that it saw",
    )  # fmt: skip
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"

    def row(
        what: str, table: Table, done: int, parts: Sequence[Measured], refused: int, reader: Reader
    ) -> str:
        seconds, cpu = sum(part.seconds for part in parts), sum(part.cpu for part in parts)
        figures = (
            f"{done:,}", f"{seconds:.1f}", f"{cpu:.1f}", f"{1000 * cpu / max(done, 1):.0f}", f"{refused:,}",
            # The first load made one, too.
            f"{len(table.refresh().snapshots()) - 1:,}", f"{metadata_files(table):,}",
            f"{len(reader.loads):,}", f"{reader.mixtures:,}",
        )  # fmt: skip
        return f"| {what} | {' | '.join(figures)} |"

    with Reader(one_commit, every=options.look_every) as reader:
        parts = staged_and_published(one_commit, 1)
    if held(one_commit) != wanted(1, partitions):
        raise SystemExit("What was published isn't what the source holds.")
    yield row("staged, then one commit", one_commit, count, parts, 0, reader)
    yield row("of that the commit", one_commit, count, parts[1:], 0, reader)
    ours = sum(part.seconds for part in parts) / count, sum(part.cpu for part in parts) / count

    with Reader(many_commits, every=options.look_every) as reader:
        own = committed(many_commits, 1)
    done, refused, again = (sum(one[name] for one in own.answers) for name in ("done", "refused", "again"))
    yield row("a commit for each", many_commits, done, [own], refused + again, reader)
    theirs = own.seconds / max(done, 1), own.cpu / max(done, 1)
    faster, cheaper = (b / a for a, b in zip(ours, theirs, strict=True))
    yield ""
    yield (
        f"For a partition one commit took {1 / faster:.3f} of the time and {1 / cheaper:.3f} of the CPU of a commit "
        f"for each. pyiceberg tried {again:,} commits again by itself, its caller {refused:,}."
    )


if __name__ == "__main__":
    main()
