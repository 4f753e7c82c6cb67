"""`mapping-kit run set`: change what batches at work do, or see what holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli import output as out
from airflow_mapping_kit.cli.output import output_option
from airflow_mapping_kit.cli.remote import api_option, part

if TYPE_CHECKING:
    from collections.abc import Mapping

# As everywhere else in the kit; here so that who asks a webserver needs no Airflow.
_AS_DECLARED = "dag"
_NAMES = ("concurrency", "stop_after", "rate", "tolerated_failure_percentage", "paused")
_EVENT = "cli_mapping_kit_run_set"


@click.group()
def run() -> None:
    """Change a run while it runs."""


@run.command(name="set")
@click.argument("dag_id", metavar="DAG")
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="TASK")
@click.option("--concurrency", metavar="N", help="How many items of an instance run at the same time.")
@click.option(
    "--rate",
    metavar="N/s|m|h",
    help="How many calls start in any second, minute or hour, over all instances.",
)
@click.option(
    "--stop-after", metavar="N", help="An instance starts no more items after this many failures in a row."
)
@click.option(
    "--tolerated-failure-percentage", metavar="P", help="How many percent may fail before the fan-in fails."
)
@click.option("--pause", is_flag=True, help="Start no more items.")
@click.option("--resume", is_flag=True, help="Continue after --pause.")
@click.option(
    "--reset", is_flag=True, help="Go back to the DAG's values, except for other options given here."
)
@output_option
@api_option
def set_(
    dag_id: str,
    run_id: str,
    task_id: str,
    pause: bool,
    resume: bool,
    reset: bool,
    output: str,
    api: str | None,
    **given: str,
) -> int:
    """Change how a task works on its batches, while it runs.

    RUN is the id of a run, or `latest`. Running instances follow within five
    seconds and aren't stopped; later ones start with the new values. Settings that
    you don't name don't change. The value `dag` goes back to the DAG's own value, and
    `none` of --rate and --stop-after means no limit. Without options the command
    shows the current settings.

    Paused instances stay `running`: items that run continue, no others start, and an
    execution_timeout of the task goes on counting.

    \b
    Exit status:
      0  the settings hold
      2  no such DAG, run or task; the task doesn't work on batches; an impossible
         value; --pause and --resume together; the run has ended; no database, no page (--api)
    """  # noqa: D301 -- click's mark for lines that stay lines
    if pause and resume:
        raise click.UsageError("--pause and --resume contradict each other: give one of them.")
    wanted: dict[str, Any] = dict.fromkeys(_NAMES, _AS_DECLARED) if reset else {}
    wanted.update({name: value for name, value in given.items() if value is not None})
    if pause or resume:
        # To resume is to go back: no DAG is paused by what it says.
        wanted["paused"] = True if pause else _AS_DECLARED
    found = (
        _local(dag_id, run_id, task_id, wanted)
        if api is None
        else _remote(api, dag_id, run_id, task_id, wanted)
    )
    _print(dag_id, found, changed=bool(wanted), form=output)
    return 0


def _local(dag_id: str, run_id: str, task_id: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from airflow_mapping_kit.cli.actor import actor
    from airflow_mapping_kit.cli.lookup import declared_dag, need_database, run_of
    from airflow_mapping_kit.steering.change import change, held

    need_database()
    dag = declared_dag(dag_id)
    run_id = run_of(dag_id, run_id).run_id
    if not wanted:
        return held(dag, run_id, task_id).as_json()
    return change(dag, run_id, task_id, wanted, actor=actor(_EVENT)).as_json()


def _remote(api: str, dag_id: str, run_id: str, task_id: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from airflow_mapping_kit.cli.remote_page import Page

    page, path = Page(api), f"dags/{part(dag_id)}/settings"
    place = {"run": run_id, "task": task_id}
    if not wanted:
        return dict(page.get(path, place))
    return page.post(path, {**place, "set": dict(wanted)})[1]


def _print(dag_id: str, found: dict[str, Any], *, changed: bool, form: str) -> None:
    columns = ("name", "value", "declared", "by", "at")
    if form == out.JSON:
        out.as_json({"dag_id": dag_id, **found})
        return
    if form == out.CSV:
        out.as_csv(columns, found["settings"])
        return
    out.say(f"{dag_id}, run {found['run_id']}: {found['run_state']}\n")
    rows = [
        (one["name"], _said(one["value"]), _said(one["declared"]), one["by"], one["at"])
        for one in found["settings"]
    ]
    out.table(("setting", "holds", "the DAG says", "changed by", "at"), rows)
    out.say(f"\n{_followed(found) if changed else _counted(found) + '.'}")


def _counted(found: Mapping[str, Any]) -> str:
    number = found["at_work"]
    return f"{number:,} instance{'' if number == 1 else 's'} of {found['task']} at work, {found['waiting']:,} to come"


def _followed(found: Mapping[str, Any]) -> str:
    return f"{_counted(found)}: those at work follow within five seconds, the others from their start."


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
