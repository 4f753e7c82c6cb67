"""`mapping-kit retry`: run again what failed, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli import output as out
from airflow_mapping_kit.cli.failures import Failure, near
from airflow_mapping_kit.cli.output import output_option
from airflow_mapping_kit.cli.pieces import is_failure
from airflow_mapping_kit.cli.remote import api_option, reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.pieces.mapped import Mapped
    from airflow_mapping_kit.pieces.redrive import Cleared, Redrive

_SHOWN = 10


@click.command()
@click.argument("dag_id", metavar="DAG")
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option("--key", "keys", multiple=True, help="Only the piece of this key or label; may be repeated.")
@click.option("--fresh", is_flag=True, help="Of a batch do all items again, not only those that failed.")
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

    \b
    Exit status:
      0  it was cleared, or there was nothing to clear
      1  the question was answered with no
      2  no such DAG, run, task or key; the run still runs, and --yes is not given;
         no database, no API
    """
    if api is not None:
        from airflow_mapping_kit.cli import remote_retry

        remote_retry.retried(
            reached(api),
            dag_id,
            run_id,
            task_id,
            keys=keys,
            fresh=fresh,
            dry_run=dry_run,
            yes=yes,
            form=output,
        )
        return 0
    from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of
    from airflow_mapping_kit.pieces.redrive import FINISHED_RUN, clear, redrive

    need_database()
    dag = declared_dag(dag_id)
    run = run_of(dag_id, run_id)
    targets = mapped_of(dag, task_id)
    indexes = _indexes(targets, run, keys) if keys else None
    if indexes is not None:
        targets = [target for target in targets if target.name in indexes]
    wanted = redrive(targets, run.run_id, run_state=run.state, indexes=indexes)
    if not wanted.pieces:
        _say_nothing(dag_id, run, output)
        return 0
    batches = _batches(dag, wanted)
    if output == out.TABLE:
        _show(dag_id, run, wanted)
        if batches and not fresh:
            out.say(f"Of a batch ({', '.join(batches)}) only the items that are not done run again.")
        elif batches:
            out.say(
                f"Of a batch ({', '.join(batches)}) all items run again, also those that are done (--fresh)."
            )
    running = run.state not in FINISHED_RUN
    if running:
        warning = disturbed(wanted)
        if not (yes or dry_run):
            raise Failure(f"The run {run.run_id} is {run.state}. {warning} If that is meant, say --yes.")
        out.say(f"\nThe run is {run.state}. {warning}", err=output != out.TABLE)
    if dry_run:
        _print(output, wanted.everything, "would be cleared")
        return 0
    if not yes:
        click.confirm(
            f"\nClear these {len(wanted.everything):,} instances?", abort=True, err=output != out.TABLE
        )
    _print(output, clear(dag, run.run_id, wanted, fresh=fresh), "cleared")
    return 0


def _indexes(targets: Sequence[Mapped], run: Run, keys: Sequence[str]) -> dict[str, set[int]]:
    """Return the map indexes that some keys or labels stand for, by the name of the mapped task."""
    from airflow_mapping_kit.cli.status import told_of

    rows = [(target.name, row) for target in targets for row in told_of(target, run).rows]
    known = [name for _, row in rows for name in (row["key"], row["label"])]
    found: dict[str, set[int]] = {}
    for key in keys:
        named = [(task, row) for task, row in rows if key in (row["key"], row["label"])]
        if not named:
            raise Failure(
                f"No piece of {', '.join(t.name for t in targets)} has the key {key!r}.{near(key, known)}"
            )
        failed = [(task, row) for task, row in named if is_failure(row["state"], run.state)]
        if not failed:
            raise Failure(
                f"{key} is {str(named[0][1]['state']).replace('_', ' ')}, so there is nothing to retry: only what "
                f"failed is run again."
            )
        for task, row in failed:
            found.setdefault(task, set()).add(row["map_index"])
    return found


def _batches(dag: Any, wanted: Redrive) -> list[str]:
    from airflow_mapping_kit.pieces.batches import batched

    tasks = dict.fromkeys(one.task_id for one in wanted.pieces if one.map_index >= 0)
    return [task_id for task_id in tasks if batched(dag.get_task(task_id)) is not None]


def disturbed(wanted: Redrive) -> str:
    """Return what a retry does to a run that still runs."""
    alone = len(wanted.at_work)
    ended = [f"{_instance(one)}" for one in wanted.after if one.state not in ("success", "failed", "skipped")]
    said = f"{alone:,} instance{'' if alone == 1 else 's'} that run or wait are left alone."
    if ended:
        said += f" {', '.join(ended[:_SHOWN])} would be stopped and started again."
    return said


def _say_nothing(dag_id: str, run: Run, form: str) -> None:
    if form != out.TABLE:
        _print(form, (), "cleared")
        return
    out.say(
        f"Nothing to retry in {dag_id}, run {run.run_id} ({run.state}): no piece failed, is upstream-failed or was "
        f"left undone."
    )


def _show(dag_id: str, run: Run, wanted: Redrive) -> None:
    out.say(f"{dag_id}, run {run.run_id}: {run.state}\n")
    parts = [(wanted.before, "comes before"), (wanted.pieces, ""), (wanted.after, "follows")]
    rows = [
        (
            one.task_id,
            one.map_index if one.map_index >= 0 else None,
            one.label,
            (one.state or "none").replace("_", " "),
            why,
        )
        for cleared, why in parts
        for one in cleared
    ]
    out.table(("task", "#", "piece", "was", ""), rows, number=("#",))
    counts = Counter((one.state or "none").replace("_", " ") for one in wanted.pieces)
    states = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    out.say(
        f"\n{len(wanted.pieces):,} of pieces ({states}), {len(wanted.before) + len(wanted.after):,} others."
    )


def _instance(one: Cleared) -> str:
    return one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]"


def _print(form: str, cleared: Sequence[Cleared], what: str) -> None:
    rows = [{"task": one.task_id, "map_index": one.map_index, "was": one.state} for one in cleared]
    if form == out.JSON:
        out.as_json({what.replace(" ", "_"): rows})
    elif form == out.CSV:
        out.as_csv(("task", "map_index", "was"), rows)
    elif what == "cleared":
        out.say(
            f"{len(rows):,} instance{'' if len(rows) == 1 else 's'} cleared: they run as soon as there is room."
        )
