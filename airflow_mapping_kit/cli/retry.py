"""`mapping-kit retry`: run again what failed, and nothing else."""

from __future__ import annotations

import click

from airflow_mapping_kit.cli.clearing import Request
from airflow_mapping_kit.cli.output import output_option
from airflow_mapping_kit.cli.remote import api_option, reached


@click.command()
@click.argument("dag_id", metavar="DAG")
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Only the piece with this key or label, or a selection: origin=EWR. Can be repeated.",
)
@click.option(
    "--fresh", is_flag=True, help="Run all items of a failed batch again, not only the failed items."
)
@click.option(
    "--repacked",
    is_flag=True,
    help="Start a new run for the failed items of batches, in a few full batches.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be cleared.")
@click.option("--yes", is_flag=True, help="Don't ask. Required if the run has not ended.")
@output_option
@api_option
def retry(
    dag_id: str,
    run_id: str,
    task_id: str | None,
    keys: tuple[str, ...],
    fresh: bool,
    repacked: bool,
    dry_run: bool,
    yes: bool,
    output: str,
    api: str | None,
) -> int:
    """Run again the pieces that failed, and nothing else.

    RUN is the id of a run, or `latest`. TASK is a mapped task or group; by default
    all mapped tasks of the DAG.

    It clears the instances that failed, are upstream-failed or were not started,
    the tasks after them at the same index of a mapped group, the fan-in, and what
    follows it. It leaves alone what succeeded. It shows the list first, and asks.
    In a batch only the failed items run again, unless you give --fresh.

    If the failed items are spread over many batches, --repacked starts a new run. Its
    generator returns only these items, so they need few instances. Tasks that are
    mapped over other generators are skipped there; all other tasks run as usual.

    \b
    Exit status:
      0  it was cleared, or there was nothing to clear
      1  you answered the question with no
      2  no such DAG, run, task or key; the run has not ended, and --yes is not
         given; no database, no API
    """  # noqa: D301 -- click's mark for lines that stay lines
    request = Request(dag_id, run_id, task_id, keys, fresh, dry_run, yes, output)
    if repacked:
        if keys or fresh:
            raise click.UsageError("--repacked takes neither --key nor --fresh: it takes all failed items.")
        if api is not None:
            raise click.UsageError(
                "--repacked can't be combined with --api: it reads results that may be in files, which Airflow's API "
                "doesn't return. Run it where Airflow is installed, with access to the metadata database."
            )
        from airflow_mapping_kit.cli.repacked import retried_in_a_new_run

        retried_in_a_new_run(request)
    elif api is not None:
        from airflow_mapping_kit.cli.remote_retry import retried_through

        retried_through(reached(api), request)
    else:
        from airflow_mapping_kit.cli.local_retry import retried

        retried(request)
    return 0
