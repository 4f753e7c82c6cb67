"""The second demo: 93 files go from S3 to Snowflake, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from demo.progress import Bar, described, states, step
from demo.report import failures
from stack.airflow import FINISHED_RUN, Airflow
from stack.landing import BUCKET, land, prepare, split
from stack.postgres import Postgres
from stack.s3 import ACCESS_KEY, S3, SECRET_KEY
from stack.snowflake import Snowflake

if TYPE_CHECKING:
    from rich.console import Console

    from stack.processes import Processes

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "include" / "data" / "flights-2013-01.csv.gz"
DAG = "s3_to_snowflake"
RUN_SECONDS = 900
QUERY = """\
SELECT origin, count(*) AS days, sum(flights)::INT AS flights, round(avg(mean_departure_delay), 1) AS mean_delay
FROM flights_by_day GROUP BY origin ORDER BY origin"""


def load(console: Console, processes: Processes, home: Path) -> bool:
    """Start everything, land the files, load and move them, and show where everything is."""
    with step(console, "PostgreSQL"):
        postgres = Postgres(processes, home / "parts" / "postgres.log")
    with step(console, "S3 server"):
        s3 = S3(processes, home / "parts" / "s3.log")
    with step(console, "A stand-in for Snowflake (fakesnow)"):
        snowflake = Snowflake(
            processes,
            home / "parts" / "snowflake.log",
            s3_endpoint_url=s3.endpoint_url,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )
        prepare(s3.client(), snowflake)
    files = split(SOURCE)
    with step(console, f"{len(files)} files land in s3://{BUCKET}/landing/"):
        land(s3.client(), files)
    airflow = Airflow(
        processes,
        postgres,
        home=home,
        dags_folder=PROJECT / "dags",
        connections={
            "aws_default": s3.airflow_connection,
            "snowflake_default": snowflake.airflow_connection,
            "warehouse": postgres.make_database("warehouse"),
        },
        settings={"SCHEDULER__USE_JOB_SCHEDULE": "False"},
        env=snowflake.environment,
    )
    with step(console, "Airflow's database"):
        airflow.migrate()
    with step(console, "Airflow's scheduler and the DAGs"):
        airflow.start_scheduler()
        airflow.wait_for_dag(DAG)
        run_id = airflow.trigger(DAG, conf={"prefix": "landing/"})

    with Bar(console) as bar:

        def finished() -> bool:
            bar.update([piece for piece in airflow.instances(DAG, run_id) if piece["map_index"] >= 0])
            return airflow.run(DAG, run_id)["state"] in FINISHED_RUN

        processes.wait(f"The end of the run of {DAG}", finished, seconds=RUN_SECONDS, every=0.5)
    run = airflow.run(DAG, run_id)
    succeeded = bool(run["state"] == "success")
    objects = s3.objects(BUCKET)
    moved = {key.replace("landing/", "processed/"): body for key, body in files.items()}
    rows = snowflake.sql("SELECT count(*) FROM flights")[0][0]

    table = Table(title=f"{DAG}: {run['state']}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for task, what in (("load", "Loads"), ("move", "Moves")):
        pieces = airflow.instances(DAG, run_id, f"flights.file.{task}")
        table.add_row(f"{what} by state", described(states(pieces)))
    # An f-string takes no backslash before Python 3.12.
    file_rows = sum(body.count(b"\n") - 1 for body in files.values())
    table.add_row("Rows in the files", f"{file_rows:,}")
    table.add_row("Rows in the table", f"{rows:,}")
    table.add_row("Files left in landing/", str(sum(key.startswith("landing/") for key in objects)))
    table.add_row(
        "Files in processed/, byte for byte", str(sum(objects.get(k) == body for k, body in moved.items()))
    )
    table.add_row("Seconds of the run", f"{(run['end_date'] - run['start_date']).total_seconds():.1f}")
    table.add_row("Most tasks at once", str(airflow.most_at_once(DAG, run_id)))
    console.print()
    console.print(table)
    if succeeded:
        result = Table("origin", "days", "flights", "mean_delay")
        for row in snowflake.sql(QUERY):
            result.add_row(*map(str, row))
        console.print()
        console.print(QUERY, highlight=False, markup=False)
        console.print(result)
    else:
        failures(console, airflow, DAG, run_id)
    return succeeded
