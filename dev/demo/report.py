"""What the demo shows at its end: the table, the lake, a query; or what failed, and where to look."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from rich.table import Table

from demo.progress import by_worker, described, states

if TYPE_CHECKING:
    from typing import Any

    from rich.console import Console

    from stack.airflow import Airflow

QUERY = """\
SELECT origin, count(DISTINCT date) AS days, count(*) AS flights, round(avg(dep_delay), 1) AS mean_delay
FROM flights GROUP BY origin ORDER BY origin"""
FAILURES_SHOWN = 10
LOG_LINE = re.compile(r"^\[\d{4}-\d\d-\d\dT")
FAILED = re.compile(r"\bERROR - (?:Task failed with exception|(?P<message>.*))")


def report(console: Console, airflow: Airflow, dag_id: str, run_id: str, lake: Path) -> None:
    """Print what the run did, and query the lake."""
    run = airflow.run(dag_id, run_id)
    pieces = [instance for instance in airflow.instances(dag_id, run_id) if instance["map_index"] >= 0]
    files = str(lake / "**" / "*.parquet")
    flights = duckdb.read_parquet(files, hive_partitioning=True)
    rows = flights.count("*").fetchall()[0][0]

    table = Table(title=f"{dag_id}: {run['state']}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Partitions by state", described(states(pieces)))
    if airflow.on_celery:
        for worker, share in by_worker(pieces).items():
            table.add_row(f"Partitions of {worker}", described(states(share)))
    table.add_row("Rows in the lake", f"{rows:,}")
    table.add_row("Seconds of the run", f"{(run['end_date'] - run['start_date']).total_seconds():.1f}")
    table.add_row("Most tasks at once", str(airflow.most_at_once(dag_id, run_id)))
    table.add_row("The lake", shortened(lake))
    console.print()
    console.print(table)

    answer = flights.query("flights", QUERY)
    result = Table(*answer.columns)
    for row in answer.fetchall():
        result.add_row(*map(str, row))
    console.print()
    console.print(QUERY, highlight=False, markup=False)
    console.print(result)
    console.print("\nAsk it something else:", highlight=False)
    print(_command(files))


def failures(console: Console, airflow: Airflow, dag_id: str, run_id: str) -> None:
    """Print each failed instance with its log and its error."""
    failed = [instance for instance in airflow.instances(dag_id, run_id) if instance["state"] == "failed"]
    console.print(f"\n[bold red]{dag_id}: {len(failed)} failed[/]", highlight=False)
    for instance in failed[:FAILURES_SHOWN]:
        place = (dag_id, run_id, instance["task_id"], instance["map_index"])
        last = max(instance["try_number"], 1)
        where = airflow.log_path(*place, last)
        text = airflow.log(*place, last) if where.exists() else ""
        print(f"\n  {_name(instance)}\n    {error_line(text)}\n    log: {shortened(where)}")
    if len(failed) > FAILURES_SHOWN:
        print(f"\n  and {len(failed) - FAILURES_SHOWN} more; their logs: {shortened(airflow.logs)}")


def error_line(log: str) -> str:
    r"""Return the line of a task's log that says what went wrong.

    >>> error_line("[2024-01-01T00:00:00] {x.py:1} ERROR - Task failed with exception\nValueError: no")
    'ValueError: no'
    """
    lines = log.splitlines()
    starts = [number for number, line in enumerate(lines) if FAILED.search(line)]
    if not starts:
        return "The log names no error; the process may have been killed."
    first = starts[0]
    trace = [lines[first]]
    for line in lines[first + 1 :]:
        if LOG_LINE.match(line):
            break
        trace.append(line)
    # The error is the last line of the traceback that isn't indented: notes and long messages come after it.
    errors = [
        line
        for line in trace[1:]
        if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|\w+)?:? ?", line)
    ]
    if errors:
        last = [line for line in errors if re.match(r"[A-Za-z_][\w.]*: ", line)] or errors
        return last[-1]
    found = FAILED.search(lines[first])
    return (found and found["message"]) or lines[first]


def _name(instance: dict[str, Any]) -> str:
    if instance["map_index"] < 0:
        return str(instance["task_id"])
    return f"{instance['task_id']} {instance['rendered_map_index'] or instance['map_index']}"


def shortened(path: Path) -> str:
    """Return a path as it is typed here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _command(files: str) -> str:
    python = shortened(Path(sys.executable))
    query = "SELECT * FROM flights LIMIT 5"
    code = f"import duckdb; duckdb.read_parquet('{shortened(Path(files))}', hive_partitioning=True)"
    return f"{python} -c \"{code}.query('flights', '{query}').show()\""
