"""Clearing single instances through the REST API of Airflow 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.clearing import Found
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.meant import failed_pieces
from airflow_mapping_kit.cli.remote import part
from airflow_mapping_kit.cli.remote_graph import Graph
from airflow_mapping_kit.cli.remote_status import is_batched, may_have_batches, remote_run, told_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.remote import Api
    from airflow_mapping_kit.cli.remote_status import RemoteRun
    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive


def retried_exactly(api: Api, request: Request) -> None:
    """Clear what failed of a run and what follows it, instance by instance."""
    run = remote_run(api, request.dag_id, request.run_id)
    targets, only = run.mapped(request.task_id), None
    if request.keys:
        told = told_of_run(api, run, targets)
        only = failed_pieces(told, request.keys, run.state)

    def found(now: RemoteRun) -> Found:
        wanted = Graph(now).redrive(targets, only)
        batches = _batches(now, wanted)
        if batches and not request.fresh and not api.has_state_store:
            raise Failure(
                f"{', '.join(batches)} works on batches. Before Airflow 3.3 all items of a batch that failed run "
                f"again, those that are done too. If that is meant, say --fresh."
            )
        notes = [_items(task, fresh=request.fresh) for task in batches]
        return Found(now.run_id, now.state, wanted, notes)

    request.carry_out(
        found(run),
        again=lambda: found(remote_run(api, request.dag_id, run.run_id)),
        clear=lambda wanted: _clear(api, run, wanted, fresh=request.fresh),
    )


def _batches(run: RemoteRun, wanted: Redrive) -> list[str]:
    """Return the tasks that work on batches, of those whose pieces run again."""
    tasks = dict.fromkeys(one.task_id for one in wanted.pieces)
    return [task_id for task_id in tasks if is_batched(run, task_id)]


def _items(task_id: str, *, fresh: bool) -> str:
    if fresh:
        return f"Of these batches of {task_id} all items run again, those that are done too (--fresh)."
    return f"Of these batches of {task_id} only the items that are not done run again."


def _clear(api: Api, run: RemoteRun, wanted: Redrive, *, fresh: bool) -> Sequence[Cleared]:
    from airflow_mapping_kit.checkpoints.store import HEAD, head_after_clearing

    path = f"dags/{part(run.dag_id)}"
    # Before they are cleared: once they are, a worker may start them.
    for one in wanted.pieces if api.has_state_store else ():
        if may_have_batches(run, one.task_id):
            store = f"{path}/dagRuns/{part(run.run_id)}/taskInstances/{part(one.task_id)}/state-store/{part(HEAD)}"
            api.patch(store, {"value": head_after_clearing(fresh=fresh)}, map_index=one.map_index)
    body: dict[str, Any] = {
        "dry_run": False,
        "dag_run_id": run.run_id,
        "task_ids": [
            [one.task_id, one.map_index] if one.map_index >= 0 else one.task_id for one in wanted.everything
        ],
        "only_failed": False,
        "reset_dag_runs": True,
    }
    api.post(f"{path}/clearTaskInstances", body)
    return wanted.everything
