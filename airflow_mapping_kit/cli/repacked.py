"""`mapping-kit retry --repacked`: what failed in a run, worked on by a new run in few full batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.actor import actor
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, quiet, run_of
from airflow_mapping_kit.cli.question import agreed
from airflow_mapping_kit.plans.mapped import mapped_in
from airflow_mapping_kit.redrive.repacked import Repacked, repacked, start

if TYPE_CHECKING:
    from airflow_mapping_kit.cli.clearing import Request

_COLUMNS = ("generator", "task", "items", "of_batches", "batches", "batch_size")
_NAMED = 20


def retried_in_a_new_run(request: Request) -> None:
    """Show which run would work on what failed, ask, and start it.

    :raises Failure: if not just that can be done.
    """
    need_database()
    dag = declared_dag(request.dag_id)
    run = run_of(request.dag_id, request.run_id)
    targets = mapped_of(dag, request.task_id)
    found = repacked(dag, targets, run.run_id, run.state)
    if found is None:
        request.print_nothing(run.run_id, run.state)
        return
    if request.form == output.TABLE:
        _show(found)
    if not request.dry_run:
        if not request.yes:
            agreed(f"\nStart this run, {_batches(found.batches)}?", err=request.form != output.TABLE)
            # An answer takes its time, and a colleague may have been faster.
            now = repacked(dag, targets, run.run_id, run_of(request.dag_id, run.run_id).state)
            if now is None or now.run_id != found.run_id:
                raise Failure("The list has changed in the meantime. Look at it again. Nothing was started.")
        with quiet():
            started = start(found, actor("cli_mapping_kit_retry"))
        if not started:
            raise Failure(f"The run {found.run_id} was started by somebody else in the meantime.")
    _print(found, request)


def _show(found: Repacked) -> None:
    dag_id, before = found.dag.dag_id, found.again.run_id
    output.say(f"{dag_id}, run {before}\n")
    rows = _rows(found)
    output.table(
        ("generator", "of", "items", "spread over", "would be"),
        [
            (
                row["generator"],
                row["task"],
                f"{row['items']:,}",
                _batches(row["of_batches"]),
                f"{_batches(row['batches'])} of {row['batch_size']:,}",
            )
            for row in rows
        ],
        number=("items",),
    )
    output.say(
        f"\nA new run, {found.run_id}, works on these {found.items:,} items and no others. It stands for the same "
        f"time as {before}, and is told the same otherwise. {before} stays as it is."
    )
    if found.others:
        more = f" and {len(found.others) - _NAMED:,} more" if len(found.others) > _NAMED else ""
        mapped = {task_id for one in mapped_in(found.dag) for task_id in one.task_ids}
        named = [
            f"{task_id} (all pieces)" if task_id in mapped else task_id for task_id in found.others[:_NAMED]
        ]
        output.say(f"As in any run these run too: {', '.join(named)}{more}. Other generators give nothing.")
    for note in found.notes:
        output.say(note)


def _print(found: Repacked, request: Request) -> None:
    if request.form == output.JSON:
        told: dict[str, Any] = {"run_id": found.run_id, "conf": found.conf, "others": list(found.others)}
        output.as_json(
            {"would_be_started" if request.dry_run else "started": {**told, "works_on": _rows(found)}}
        )
    elif request.form == output.CSV:
        output.as_csv(("run_id", *_COLUMNS), [{"run_id": found.run_id, **row} for row in _rows(found)])
    elif request.dry_run:
        output.say(
            f"1 run would be started, of {_batches(found.batches)} where a retry clears {found.spread:,}."
        )
    else:
        output.say(f"The run {found.run_id} is started.")


def _rows(found: Repacked) -> list[dict[str, Any]]:
    return [
        {
            "generator": one.task_id,
            "task": ", ".join(mapped.name for mapped in one.targets),
            "items": one.count,
            "of_batches": len(one.places),
            "batches": -(-one.count // one.size),
            "batch_size": one.size,
        }
        for one in found.undone
    ]


def _batches(number: int) -> str:
    return f"{number:,} batch{'' if number == 1 else 'es'}"
