"""Clearing in the metadata database."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.clearing import counted
from airflow_mapping_kit.cli.failures import Failure, near
from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of
from airflow_mapping_kit.cli.pieces import is_failure
from airflow_mapping_kit.cli.status import told_of
from airflow_mapping_kit.pieces import checkpoints
from airflow_mapping_kit.pieces.batches import batched
from airflow_mapping_kit.pieces.redrive import FINISHED_RUN, clear, redrive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.pieces.mapped import Mapped
    from airflow_mapping_kit.pieces.redrive import Cleared, Redrive

_NAMED = 10
_ENDED = ("success", "failed", "skipped", "upstream_failed")


def retried(request: Request) -> None:
    """Clear what failed of a run, and what follows it."""
    need_database()
    dag = declared_dag(request.dag_id)
    run = run_of(request.dag_id, request.run_id)
    targets, indexes = mapped_of(dag, request.task_id), None
    if request.keys:
        indexes = _indexes(targets, run, request.keys)
        targets = [target for target in targets if target.name in indexes]
    wanted = redrive(targets, run.run_id, run_state=run.state, indexes=indexes)
    if not wanted.pieces:
        request.print_nothing(run.run_id, run.state)
        return
    if request.form == output.TABLE:
        _show(dag, run, wanted, fresh=request.fresh)
    if run.state not in FINISHED_RUN:
        disturbed = _disturbed(wanted)
        if not (request.yes or request.dry_run):
            raise Failure(f"The run {run.run_id} is {run.state}. {disturbed} If that is meant, say --yes.")
        output.say(f"The run is {run.state}. {disturbed}", err=request.form != output.TABLE)
    if request.dry_run:
        request.print_cleared(_rows(wanted.everything))
        return
    request.confirm(len(wanted.everything))
    request.print_cleared(_rows(clear(dag, run.run_id, wanted, fresh=request.fresh)))


def _indexes(targets: Sequence[Mapped], run: Run, keys: Sequence[str]) -> dict[str, set[int]]:
    """Return the map indexes that some keys or labels stand for, by the name of the mapped task."""
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
                f"{key} is in state {named[0][1]['state']}, so there is nothing to retry: only what failed is run "
                f"again."
            )
        for task, row in failed:
            found.setdefault(task, set()).add(row["map_index"])
    return found


def _show(dag: Any, run: Run, wanted: Redrive, *, fresh: bool) -> None:
    output.say(f"{dag.dag_id}, run {run.run_id}: {run.state}\n")
    parts = [(wanted.before, "comes before"), (wanted.pieces, ""), (wanted.after, "follows")]
    rows = [
        (one.task_id, one.map_index if one.map_index >= 0 else None, one.label, _was(one), why)
        for cleared, why in parts
        for one in cleared
    ]
    output.table(("task", "#", "piece", "was", ""), rows, number=("#",))
    states = ", ".join(f"{n:,} {state}" for state, n in Counter(map(_was, wanted.pieces)).items())
    others = len(wanted.before) + len(wanted.after)
    output.say(f"\n{counted(len(wanted.pieces))} of pieces ({states}) and {others:,} more.")
    tasks = dict.fromkeys(one.task_id for one in wanted.pieces if one.map_index >= 0)
    for task_id in tasks:
        declared = dag.get_task(task_id)
        if batched(declared) is not None:
            output.say(_items(declared, fresh=fresh))


def _items(declared: Any, *, fresh: bool) -> str:
    """Return which items of batches run again."""
    name = declared.task_id
    if fresh:
        return f"Of these batches of {name} all items run again, those that are done too (--fresh)."
    if not checkpoints.outlive_tries(declared):
        return f"Of these batches of {name} all items run again: nothing keeps what is done of them."
    return f"Of these batches of {name} only the items that are not done run again."


def _disturbed(wanted: Redrive) -> str:
    """Return what a retry does to a run that still runs."""
    stopped = [_instance(one) for one in wanted.after if one.state is not None and one.state not in _ENDED]
    said = f"Left alone: {counted(len(wanted.at_work))} at work or waiting."
    return f"{said} Stopped and started again: {', '.join(stopped[:_NAMED])}." if stopped else said


def _was(one: Cleared) -> str:
    return (one.state or "none").replace("_", " ")


def _instance(one: Cleared) -> str:
    return one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]"


def _rows(cleared: Iterable[Cleared]) -> list[dict[str, Any]]:
    return [{"task": one.task_id, "map_index": one.map_index, "was": one.state} for one in cleared]
