"""Clearing through the REST API, as far as that goes.

That of Airflow 2 clears tasks, all map indexes of a task that failed at once, and knows nothing of checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.remote import part
from airflow_mapping_kit.cli.remote_redrive import retried_exactly
from airflow_mapping_kit.cli.remote_status import is_batched, remote_run, state_of
from airflow_mapping_kit.results import FAILED, FINISHED_RUN, NOT_STARTED, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.remote import Api
    from airflow_mapping_kit.cli.remote_status import RemoteRun


def retried_through(api: Api, request: Request) -> None:
    """Clear what failed of a run and what follows it; refuse what the API can't do."""
    if api.exact:
        retried_exactly(api, request)
        return
    if request.keys:
        raise Failure(
            "--key needs the database: Airflow 2's API clears all failed instances of a task, not one of them. "
            "Leave --key out, or clear the one in Airflow's grid."
        )
    run = remote_run(api, request.dag_id, request.run_id)
    targets = run.mapped(request.task_id)
    failed = _failed(run, targets, request)
    if not failed:
        request.print_nothing(run.run_id, run.state)
        return
    after = _following(run, failed)
    would = [*_cleared(api, run, failed, only_failed=True), *_cleared(api, run, after, only_failed=False)]
    if request.form == output.TABLE:
        _show(run, failed, after)
    if request.dry_run:
        request.print_cleared(would)
        return
    if not request.yes:
        request.confirm(len(would))
        # An answer takes its time, and a colleague may have been faster.
        run = remote_run(api, request.dag_id, run.run_id)
        failed = [task for task in _failed(run, targets, request) if task in failed]
        after = _following(run, failed)
    # The pieces first: until they are done again nothing after them starts.
    done = _cleared(api, run, failed, only_failed=True, really=True)
    # Where none of them is left, what follows has no reason to run again.
    done += _cleared(api, run, after if done else (), only_failed=False, really=True)
    request.print_cleared(done)


def _failed(run: RemoteRun, targets: Sequence[str], request: Request) -> list[str]:
    """Return the tasks of which pieces failed.

    :raises Failure: if they can't be cleared, or not without saying that it is meant.
    """
    failed = [task for task in targets if _count(run, task, (FAILED, UPSTREAM_FAILED))]
    _refuse_what_is_undone(run, targets)
    _refuse_batches(run, failed, fresh=request.fresh)
    if failed and run.state not in FINISHED_RUN and not (request.yes or request.dry_run):
        raise Failure(
            f"The run {run.run_id} is {run.state}: what follows the failed pieces is stopped if it runs. If that is "
            f"meant, say --yes."
        )
    return failed


def _refuse_what_is_undone(run: RemoteRun, targets: Sequence[str]) -> None:
    undone = [task for task in targets if _count(run, task, (NOT_STARTED,)) and run.state in FINISHED_RUN]
    if undone:
        raise Failure(
            f"{', '.join(undone)} has instances that were not started when the run ended. Airflow calls them "
            f"skipped, and its API would clear none of those, or all instances: run retry beside the database."
        )


def _refuse_batches(run: RemoteRun, failed: Sequence[str], *, fresh: bool) -> None:
    batches = [task for task in failed if is_batched(run, task)]
    if batches and not fresh:
        raise Failure(
            f"{', '.join(batches)} works on batches. Through the API all items of a batch that failed run again, "
            f"those that are done too. If that is meant, say --fresh; else run retry beside the database."
        )


def _show(run: RemoteRun, failed: Sequence[str], after: Sequence[str]) -> None:
    output.say(f"{run.dag_id}, run {run.run_id}: {run.state}\n")
    rows = [
        (task, state.replace("_", " "), f"{number:,}")
        for task in failed
        for state in (FAILED, UPSTREAM_FAILED)
        if (number := _count(run, task, (state,)))
    ]
    states = {one["task_id"]: str(one["state"]) for one in run.instances}
    rows += [(task, states[task].replace("_", " "), "1") for task in after]
    output.table(("task", "was", "instances"), rows, number=("instances",))
    if any(not run.tasks[task]["is_mapped"] for task in failed):
        output.say(
            "\nOf a mapped group only what failed is cleared: what comes after it and succeeded all the same stays."
        )


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
    """Clear tasks, or find out whether one may; return the instances.

    :raises Failure: if the API refuses.
    """
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
    answer = api.post(f"dags/{part(run.dag_id)}/clearTaskInstances", body)
    if not answer.get("task_instances"):
        return []
    # It has no map indexes.
    return [
        {"task": one["task_id"], "map_index": one["map_index"], "was": one["state"]}
        for task in tasks
        for one in sorted(run.instances, key=lambda instance: int(instance["map_index"]))
        if one["task_id"] == task and (not only_failed or one["state"] in (FAILED, UPSTREAM_FAILED))
    ]
