"""`mapping-kit partitions`: what is there of a DAG's partitions over all runs, and loading just what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli.all_dags import print_all
from airflow_mapping_kit.cli.failures import FAILED, Failure, near
from airflow_mapping_kit.cli.output import output_option
from airflow_mapping_kit.cli.overview import print_partitions
from airflow_mapping_kit.cli.redriving import Answers, redriven, wanted_of
from airflow_mapping_kit.cli.remote import api_option
from airflow_mapping_kit.cli.seen import COMING, LOADED, NOT_LOADED
from airflow_mapping_kit.history.states import LETTERS
from airflow_mapping_kit.partitions.selection import Selection

if TYPE_CHECKING:
    from airflow_mapping_kit.cli.seen import Source

_MOST_RUNS = 100_000
_ALL_OPEN = "not_loaded"


@click.command()
@click.argument("dag_id", metavar="[DAG]", required=False)
@click.argument("words", metavar="[TASK] [SELECTION]...", nargs=-1)
@click.option(
    "--select",
    "selects",
    multiple=True,
    metavar="SELECTION",
    help="Only these partitions, as in origin=EWR,JFK.",
)
@click.option(
    "--state",
    "states",
    metavar="STATES",
    default="",
    help="Only partitions in these states, separated by commas.",
)
@click.option("--run", "run_id", metavar="RUN", help="The outcome in this run, or in the `latest` run.")
@click.option(
    "--runs",
    "limit",
    metavar="N",
    type=click.IntRange(1, _MOST_RUNS),
    default=400,
    show_default=True,
    help="Look at this many of the newest runs.",
)
@click.option("--retry", is_flag=True, help="Run the failed ones again, each in the latest run that had it.")
@click.option("--reload", is_flag=True, help="Start runs that load the missing ones.")
@click.option("--dry-run", is_flag=True, help="Only show what --retry and --reload would do.")
@click.option("--yes", is_flag=True, help="Don't ask before --retry and --reload.")
@output_option
@api_option
def partitions(
    dag_id: str | None,
    words: tuple[str, ...],
    selects: tuple[str, ...],
    states: str,
    run_id: str | None,
    limit: int,
    retry: bool,
    reload: bool,
    dry_run: bool,
    yes: bool,
    output: str,
    api: str | None,
) -> int:
    """Show the newest state of every partition, over all runs.

    Without DAG it shows the numbers of all DAGs, the worst first.

    TASK is a mapped task or group. By default it is the one whose partitions are a
    product of dimensions. A SELECTION has an `=` in it; give any other by --select:

    \b
      mapping-kit partitions flights 'origin=EWR,JFK date=2013-01-01..2013-01-31'
      mapping-kit partitions flights date=2013-W05 --state missing,failed
      mapping-kit partitions flights --select lga --retry

    \b
    States: loaded, failed, upstream_failed, not_run (its run ended before it
    started), missing (no run has it), at_work, waiting, skipped, stale (its
    upstream changed after it was loaded), healed (failed in --run, loaded
    later). not_loaded means all but loaded, skipped, stale and healed.

    \b
    Exit status:
      0  everything selected is loaded; with --retry or --reload: it was done,
         or there was nothing to do
      1  something selected is not loaded, or the selection is empty; you
         answered the question with no
      2  no such DAG, task, run or dimension; a selection that can't be read; no
         database, no API
    """  # noqa: D301 -- click's mark for lines that stay lines
    if dag_id is None:
        if selects or states or run_id or retry or reload:
            raise Failure("Name a DAG. Without one, the command only shows the numbers of all DAGs.")
        return print_all(api, output)
    task_id, text = _read(words, selects)
    selection, wanted = Selection.parse(text), _states(states)
    source = _source(api, dag_id, task_id, run_id, limit)
    seen = source.seen
    cells = seen.chosen(selection, wanted)
    if retry or reload:
        todo = wanted_of(seen, cells, retry=retry, reload=reload, by_state=bool(wanted))
        redriven(source, todo, Answers(dry_run=dry_run, yes=yes, form=output))
        return 0
    print_partitions(seen, cells, selection, filtered=bool(wanted), form=output)
    # What is not there at all is not loaded either: a year mistyped.
    there = cells or (wanted and seen.chosen(selection, ()))
    return 0 if there and all(seen.state(cell) in LOADED for cell in cells) else FAILED


def _source(api: str | None, *asked: Any) -> Source:
    if api is not None:
        from airflow_mapping_kit.cli.remote_page import Page
        from airflow_mapping_kit.cli.remote_partitions import RemotePartitions

        return RemotePartitions(Page(api), *asked)
    from airflow_mapping_kit.cli.local_partitions import Database

    return Database(*asked)


def _read(words: tuple[str, ...], selects: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the task and the selection that are among some arguments."""
    tasks = [word for word in words if "=" not in word]
    if len(tasks) > 1:
        raise Failure(
            f"Which task? {' and '.join(map(repr, tasks))} both stand where TASK does. A selection without '=' goes "
            f"into --select."
        )
    return (tasks[0] if tasks else None), " ".join([*selects, *(word for word in words if "=" in word)])


def _states(text: str) -> frozenset[str]:
    """Return the states that an option names, none where it names none."""
    given = {part.strip().lower().replace("-", "_") for part in text.split(",") if part.strip()}
    known = [*LETTERS.values(), _ALL_OPEN]
    for one in sorted(given.difference(known)):
        raise Failure(f"There is no state {one!r}.{near(one, known)} There are {', '.join(known)}.")
    return frozenset(given - {_ALL_OPEN}) | frozenset((*NOT_LOADED, *COMING) if _ALL_OPEN in given else ())
