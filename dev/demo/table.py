"""The third demo: a year of flights goes into an Iceberg table in one commit, and one airport of it once more."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from rich.table import Table

from demo.progress import Bar, described, states, step
from demo.report import failures
from stack.airflow import FINISHED_RUN, Airflow
from stack.catalog import Catalog
from stack.flights_table import NAME, deliver_again, make_table
from stack.postgres import Postgres
from stack.s3 import S3

if TYPE_CHECKING:
    from typing import Any

    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable
    from rich.console import Console

    from stack.processes import Processes

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "include" / "data" / "flights-2013.parquet"
DAG = "flights_table"
BUCKET = "lake"
YEAR = {
    "mode": "custom",
    "start_date": "2013-01-01",
    "end_date": "2013-12-31",
    "aws_conn_id": "aws_default",
}
RELOADED = "LGA"
# A blizzard: the airports were closed for the half of it.
LATE = ["2013-02-08", "2013-02-09", "2013-02-10"]
RUN_SECONDS = 900

QUERY = """\
SELECT origin, count(*) AS flights, count(*) FILTER (dep_delay IS NULL) AS never_left
FROM flights GROUP BY origin ORDER BY origin"""
LATE_DAYS = """\
SELECT date, count(*) AS flights, count(*) FILTER (dep_delay IS NULL) AS never_left
FROM flights WHERE origin = $origin AND list_contains($days, date::VARCHAR) GROUP BY date ORDER BY date"""


def table(console: Console, processes: Processes, home: Path) -> bool:
    """Start everything, load the year, load one airport again, and show both snapshots of the table."""
    with step(console, "PostgreSQL"):
        postgres = Postgres(processes, home / "parts" / "postgres.log")
    with step(console, "S3 server"):
        s3 = S3(processes, home / "parts" / "s3.log")
        s3.make_bucket(BUCKET)
    with step(console, "An Iceberg catalog (REST)"):
        catalog = Catalog(
            processes,
            home / "parts" / "catalog.log",
            warehouse=f"s3://{BUCKET}",
            storage=s3.iceberg_storage,
        )
        flights = make_table(catalog)
    again = home / "delivered_again.parquet"
    deliver_again(SOURCE, again, origin=RELOADED, without=LATE)
    airflow = Airflow(
        processes,
        postgres,
        home=home,
        dags_folder=PROJECT / "dags",
        connections={
            "aws_default": s3.airflow_connection,
            "lake": catalog.airflow_connection,
            "warehouse": postgres.make_database("warehouse"),
        },
        settings={"SCHEDULER__USE_JOB_SCHEDULE": "False"},
    )
    with step(console, "Airflow's database"):
        airflow.migrate()
    with step(console, "Airflow's scheduler and the DAGs"):
        airflow.start_scheduler()
        airflow.wait_for_dag(DAG)

    runs = (
        ("A year of three airports, a partition a day and airport", YEAR, 3 * 365),
        (
            f"{RELOADED} once more: the flights that never left are gone, and three days are missing",
            {**YEAR, "origin": [RELOADED], "source": str(again)},
            365,
        ),
    )
    for title, conf, partitions in runs:
        console.print(f"\n{title}", style="bold", highlight=False, soft_wrap=True)
        if not _ran(console, airflow, s3, conf, partitions):
            return False
    _history(console, flights)
    return True


def _ran(console: Console, airflow: Airflow, s3: S3, conf: dict[str, Any], partitions: int) -> bool:
    """Run the DAG and show what became of it; tell whether it succeeded."""
    before = _staged(s3)
    run_id = airflow.trigger(DAG, conf=conf)
    with Bar(console) as bar:

        def finished() -> bool:
            writers = [one for one in airflow.instances(DAG, run_id, "load") if one["map_index"] >= 0]
            bar.update(writers, (_staged(s3) - before, partitions))
            return airflow.run(DAG, run_id)["state"] in FINISHED_RUN

        airflow.processes.wait(f"The end of the run of {DAG}", finished, seconds=RUN_SECONDS, every=0.5)
    run = airflow.run(DAG, run_id)
    if run["state"] != "success":
        failures(console, airflow, DAG, run_id)
        return False
    report = airflow.xcom(DAG, run_id, "publish_load")
    published = report["published"]
    writers = [one for one in airflow.instances(DAG, run_id, "load") if one["map_index"] >= 0]

    shown = Table(show_header=False)
    shown.add_column(style="bold")
    shown.add_column()
    shown.add_row("Writers", described(states(writers)))
    shown.add_row("Most tasks at once", str(airflow.most_at_once(DAG, run_id)))
    shown.add_row("Partitions published", f"{report['succeeded']:,} in snapshot {published['snapshot']}")
    shown.add_row("Partitions that failed", "\n".join([f"{report['failed']:,}", *_failed(report)]))
    shown.add_row("Seconds of the run", f"{(run['end_date'] - run['start_date']).total_seconds():.1f}")
    console.print(shown)
    return True


def _failed(report: dict[str, Any]) -> list[str]:
    """Return the keys of the partitions that failed; a long report has its rows elsewhere, but for some of these."""
    some = report.get("failures") or report.get("results") or []
    return [row["key"] for row in some if row["state"] == "failed"]


def _staged(s3: S3) -> int:
    """Return how many files instances have staged so far; those that were published stay where they are."""
    return sum("/data/mapping-kit/" in key for key in s3.keys(BUCKET))


def _history(console: Console, flights: IcebergTable) -> None:
    """Show the table's snapshots, and what each of them holds."""
    flights.refresh()
    before, after = flights.snapshots()
    shown = Table(title=f"The snapshots of {NAME}", title_justify="left")
    for name in ("", "snapshot", "committed", "files added", "replaced", "flights"):
        shown.add_column(name, no_wrap=True)
    for name, snapshot in (("before", before), ("after", after)):
        said = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
        counts = (
            int(said.get(key, 0)) for key in ("added-data-files", "deleted-data-files", "total-records")
        )
        committed = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=timezone.utc)
        shown.add_row(
            name, str(snapshot.snapshot_id), f"{committed:%H:%M:%S}", *(f"{count:,}" for count in counts)
        )
    console.print()
    console.print(shown)
    console.print("\nTime travel:", highlight=False)
    console.print(QUERY, highlight=False, markup=False, soft_wrap=True)
    held = [
        flights.scan(snapshot_id=one.snapshot_id, selected_fields=("origin", "date", "dep_delay")).to_arrow()
        for one in (before, after)
    ]
    _beside(console, "origin", *(_asked(rows, QUERY) for rows in held))
    console.print(f"\nThe three days of {RELOADED} that failed keep what they had:", highlight=False)
    late = {"origin": RELOADED, "days": LATE}
    _beside(console, "day", *(_asked(rows, LATE_DAYS, late) for rows in held))


def _asked(flights: pa.Table, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.register("flights", flights)
        return connection.execute(query, values).fetchall()


def _beside(console: Console, key: str, before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    """Show what the same query says of two snapshots; what became different is bold."""
    shown = Table(key, "flights before", "after", "never left before", "after")
    for old, new in zip(before, after, strict=True):
        cells = [f"{value:,}" for pair in zip(old[1:], new[1:], strict=True) for value in pair]
        shown.add_row(str(old[0]), *cells, style="" if old == new else "bold")
    console.print(shown)
