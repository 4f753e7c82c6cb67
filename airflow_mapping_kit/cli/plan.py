"""`mapping-kit plan`: what a run would be mapped over, before there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli import output as out
from airflow_mapping_kit.cli.failures import FAILED, Failure
from airflow_mapping_kit.cli.output import output_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_mapping_kit.cli.foresight import Foreseen
    from airflow_mapping_kit.cli.imagined import Imagined


@click.command()
@click.argument("dag_id", metavar="DAG")
@click.option(
    "--conf", metavar="JSON", help='The conf of a run that you trigger: \'{"mode": "custom", ...}\'.'
)
@click.option("--logical-date", metavar="ISO", help="The logical date of the run. Default: now.")
@click.option(
    "--max", "most", type=click.IntRange(min=0), help="Exit with status 1 if a task has more pieces."
)
@output_option
def plan(dag_id: str, conf: str | None, logical_date: str | None, most: int | None, output: str) -> int:
    """Show what a run would be mapped over, before it exists.

    With --logical-date alone, that is the scheduled run of that date. Otherwise, or
    if the DAG has no schedule, it is a run that you trigger.

    The command runs none of your tasks and asks no bucket or database. It evaluates
    literals, params, and the generators that need only their arguments: date_range,
    product, zipped, batches, without, and reload_partitions if it loads everything.
    Other plans are "known at run time".

    \b
    Exit status:
      0  every task whose plan can be known now has one
      1  a task has more pieces than --max, or its generator would fail
      2  no such DAG; --conf or --logical-date can't be read, or the DAG's params
         refuse them
    """  # noqa: D301 -- click's mark for lines that stay lines
    from airflow_mapping_kit.cli.foresight import foresee
    from airflow_mapping_kit.cli.imagined import imagined_run
    from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of

    given, date = _conf(conf), _date(logical_date)
    dag = declared_dag(dag_id)
    mapped = mapped_of(dag, None)
    run = imagined_run(dag, given, date)
    tasks = [foresee(one, run) for one in mapped]
    limit = _max_map_length()
    if output == out.JSON:
        out.as_json(_document(dag_id, run, tasks, limit))
    elif output == out.CSV:
        rows = [{"task": task.task, **piece} for task in tasks for piece in task.pieces or ()]
        out.as_csv(
            ("task", "map_index", "key", "label", "items"),
            ({**row, "items": "" if row["items"] is None else json.dumps(row["items"])} for row in rows),
        )
    else:
        _print(dag_id, run, tasks, limit)
    over = [task for task in tasks if most is not None and task.pieces and len(task.pieces) > most]
    for task in over:
        out.say(f"{task.task} has {len(task.pieces or ()):,} pieces, more than --max {most:,}.", err=True)
    return FAILED if over or any(task.error for task in tasks) else 0


def _conf(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        conf = json.loads(text)
    except json.JSONDecodeError as error:
        raise Failure(
            f"--conf {text!r} is not JSON: {error}. Quote it for the shell: --conf '{{\"a\": 1}}'."
        ) from None
    if not isinstance(conf, dict):
        raise Failure(f'--conf {text!r} is no JSON object: the conf of a run is one, {{"name": value}}.')
    return conf


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    from airflow_mapping_kit.compat import timezone

    try:
        return timezone.parse(text)
    except ValueError:
        raise Failure(
            f"--logical-date {text!r} is no date: write 2024-11-20 or 2024-11-20T06:00:00+00:00."
        ) from None


def _max_map_length() -> int:
    from airflow.configuration import conf

    return int(conf.getint("core", "max_map_length", fallback=1024))


def _document(dag_id: str, run: Imagined, tasks: Sequence[Foreseen], limit: int) -> dict[str, Any]:
    return {
        "dag_id": dag_id,
        "run_type": run.run_type,
        "logical_date": run.logical_date.isoformat(),
        "params": run.params,
        "max_map_length": limit,
        "tasks": [
            {
                "task": task.task,
                "total": None if task.pieces is None else len(task.pieces),
                "known_at_run_time": task.known_at_run_time,
                "error": task.error,
                "pieces": task.pieces,
            }
            for task in tasks
        ],
    }


def _print(dag_id: str, run: Imagined, tasks: Sequence[Foreseen], limit: int) -> None:
    out.say(f"{dag_id}, {run}")
    for task in tasks:
        if task.error is not None:
            out.say(f"\n{task.task}: the run would fail: {task.error}")
        elif task.pieces is None:
            out.say(f"\n{task.task}: known at run time: {task.known_at_run_time}")
        elif not task.pieces:
            out.say(f"\n{task.task}: no pieces: the plan is empty, so it would be skipped")
        else:
            _print_pieces(task, task.pieces, limit)


def _print_pieces(task: Foreseen, pieces: Sequence[dict[str, Any]], limit: int) -> None:
    number = f"{len(pieces):,} piece{'' if len(pieces) == 1 else 's'}"
    items = [piece["items"] for piece in pieces if piece["items"] is not None]
    held = f", batches of {sum(map(len, items)):,} items" if items else ""
    out.say(f"\n{task.task}: {number}{held} ([core] max_map_length is {limit:,})")
    labelled = any(piece["label"] != piece["key"] for piece in pieces) and not items
    columns = ("#", "items", "holds") if items else ("#", "key", "label") if labelled else ("#", "key")
    out.table(columns, [_row(piece, columns) for piece in pieces], number=("#", "items"))


def _row(piece: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    items = piece["items"] or []
    cells = {
        "#": piece["map_index"],
        "key": piece["key"],
        "label": piece["label"],
        "items": f"{len(items):,}",
        "holds": " … ".join(items if len(items) <= 1 else (items[0], items[-1])),
    }
    return [cells[name] for name in columns]
