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
    help="Only the piece of this key or label, or what is selected: origin=EWR. May be repeated.",
)
@click.option("--fresh", is_flag=True, help="Of a batch do all items again, not only those that failed.")
@click.option(
    "--repacked",
    is_flag=True,
    help="Have a new run work on the items of batches that failed, in few full batches.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be cleared.")
@click.option("--yes", is_flag=True, help="Don't ask; needed where the run still runs.")
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
    all of the DAG are meant.

    Cleared are the instances that failed, are upstream-failed or were not started,
    within a mapped group what comes after them at the same index, then the fan-in
    and what follows it. What succeeded is not touched. It is shown first, and you
    are asked. Of a batch only the items that failed run again, unless --fresh.

    Where few items are spread over many batches, --repacked starts a new run in which
    the generator gives these items alone, so they take few instances. All else that
    is mapped over a generator is skipped in it; other tasks run as in any run.

    \b
    Exit status:
      0  it was cleared, or there was nothing to clear
      1  the question was answered with no
      2  no such DAG, run, task or key; the run still runs, and --yes is not
         given; no database, no API
    """  # noqa: D301 -- click's mark for lines that stay lines
    request = Request(dag_id, run_id, task_id, keys, fresh, dry_run, yes, output)
    if repacked:
        if keys or fresh:
            raise click.UsageError("--repacked takes neither --key nor --fresh: it packs all that failed.")
        if api is not None:
            raise click.UsageError(
                "--repacked goes beside the metadata database, not with --api: it reads which items are not done "
                "from results that may be in files, which Airflow's API doesn't give. Run it where Airflow is."
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
