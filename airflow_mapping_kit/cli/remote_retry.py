"""Clearing through the REST API, as far as that goes. Airflow 2.10.

It clears tasks, all map indexes of a task that failed at once, and knows nothing of checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli import output as out
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.remote import part
from airflow_mapping_kit.cli.remote_status import is_batched, remote_run, state_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.remote import Api
    from airflow_mapping_kit.cli.remote_status import RemoteRun

_FINISHED_RUN = ("success", "failed")


def retried(
    api: Api,
    dag_id: str,
    run_id: str,
    task_id: str | None,
    *,
    keys: Sequence[str],
    fresh: bool,
    dry_run: bool,
    yes: bool,
    form: str,
) -> None:
    """Clear what failed of a run and what follows it; say what the API can't."""
    if keys:
        raise Failure(
            "--key needs the database: Airflow 2.10's API clears all failed instances of a task, not one of them. "
            "Leave --key out, or clear the one in Airflow's grid."
        )
    run = remote_run(api, dag_id, run_id)
    targets = run.mapped(task_id)
    failed = [task for task in targets if _count(run, task, (FAILED, UPSTREAM_FAILED))]
    undone = [task for task in targets if _count(run, task, (NOT_STARTED,)) and run.state in _FINISHED_RUN]
    if undone:
        raise Failure(
            f"{', '.join(undone)} has instances that were not started when the run timed out. Airflow calls them "
            f"skipped, and its API would clear all instances or none of those: run retry beside the database."
        )
    if not failed:
        _print(form, [], f"Nothing to retry in {dag_id}, run {run.run_id} ({run.state}).")
        return
    batched = [task for task in failed if is_batched(run, task)]
    if batched and not fresh:
        raise Failure(
            f"{', '.join(batched)} works on batches. Through the API all items of a batch that failed would run again, "
            f"those that are done too. If that is meant, say --fresh; else run retry beside the database."
        )
    if run.state not in _FINISHED_RUN and not (yes or dry_run):
        raise Failure(
            f"The run {run.run_id} is {run.state}: what follows the failed pieces would be stopped if it runs. "
            f"If that is meant, say --yes."
        )
    after = _following(run, failed)
    # The pieces first: until they are done again nothing after them starts.
    would = [*_cleared(api, run, failed, only_failed=True), *_cleared(api, run, after, only_failed=False)]
    if form == out.TABLE:
        out.say(f"{dag_id}, run {run.run_id}: {run.state}\n")
        out.table(("task", "was", "instances"), _counts(run, failed, after), number=("instances",))
        if any(task not in run.tasks or not run.tasks[task]["is_mapped"] for task in failed):
            out.say(
                "\nWithin a mapped group only what failed is cleared: what came after it and succeeded all the same "
                "stays."
            )
    if dry_run:
        _print(form, would, "")
        return
    if not yes:
        click.confirm(f"\nClear these {len(would):,} instances?", abort=True, err=form != out.TABLE)
    done = _cleared(api, run, failed, only_failed=True, really=True)
    done += _cleared(api, run, after, only_failed=False, really=True)
    _print(form, done, f"{len(done):,} instances cleared: they run as soon as there is room.")


def _count(run: RemoteRun, task_id: str, states: Sequence[str]) -> int:
    return sum(one["task_id"] == task_id and state_of(one) in states for one in run.instances)


def _following(run: RemoteRun, failed: Sequence[str]) -> list[str]:
    """Return the unmapped tasks after some tasks that have ended or run."""
    mapped, found, waiting = set(run.mapped(None)), list[str](), list(failed)
    seen = set(waiting)
    while waiting:
        for follower in run.tasks[waiting.pop(0)]["downstream_task_ids"]:
            if follower not in seen:
                seen.add(follower)
                waiting.append(follower)
                found.append(follower)
    begun = {one["task_id"] for one in run.instances if one["state"] not in (None, "scheduled", "queued")}
    return [task for task in found if task not in mapped and task in begun]


def _cleared(
    api: Api, run: RemoteRun, tasks: Sequence[str], *, only_failed: bool, really: bool = False
) -> list[dict[str, Any]]:
    if not tasks:
        return []
    body = {
        "dry_run": not really,
        "task_ids": list(tasks),
        "dag_run_id": run.run_id,
        "only_failed": only_failed,
        "reset_dag_runs": True,
        "include_subdags": False,
        "include_parentdag": False,
    }
    found = api.post(f"dags/{part(run.dag_id)}/clearTaskInstances", body).get("task_instances", [])
    return [one for one in found if one["task_id"] in tasks]


def _counts(run: RemoteRun, failed: Sequence[str], after: Sequence[str]) -> list[tuple[str, str, str]]:
    rows = [
        (task, state.replace("_", " "), f"{number:,}")
        for task in failed
        for state in (FAILED, UPSTREAM_FAILED)
        if (number := _count(run, task, (state,)))
    ]
    states = {one["task_id"]: str(one["state"]) for one in run.instances}
    return [*rows, *((task, states[task].replace("_", " "), "1") for task in after)]


def _print(form: str, cleared: list[dict[str, Any]], said: str) -> None:
    rows = [{"task": one["task_id"], "map_index": one.get("map_index")} for one in cleared]
    if form == out.JSON:
        out.as_json({"cleared": rows})
    elif form == out.CSV:
        out.as_csv(("task", "map_index"), rows)
    elif said:
        out.say(said)
