"""What the REST API tells of a run's pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure, near
from airflow_mapping_kit.cli.lookup import LATEST, no_run
from airflow_mapping_kit.cli.pieces import Told
from airflow_mapping_kit.cli.remote import part
from airflow_mapping_kit.cli.remote_items import about_items
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.remote import Api

_RECORD_KEY = "mapping_kit"
_NO_ERROR = {"type": None, "message": "no exception recorded"}
# One request an error.
_ERRORS_ASKED = 200


@dataclass
class RemoteRun:
    """A run and all its instances, as the API tells of them.

    :param tasks: the DAG's tasks by id, as the API describes them.
    :param instances: all instances of the run.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, dict[str, Any]]
    instances: list[dict[str, Any]]

    def mapped(self, task_id: str | None) -> list[str]:
        """Return the mapped tasks, or those that a name stands for: a task, or the prefix of a group."""
        mapped = [one for one, task in self.tasks.items() if task["is_mapped"]]
        mapped += sorted(
            {i["task_id"] for i in self.instances if i["map_index"] >= 0 and i["task_id"] not in mapped}
        )
        if task_id is None:
            return mapped
        found = [one for one in mapped if one == task_id or one.startswith(f"{task_id}.")]
        if found:
            return found
        if task_id in self.tasks:
            raise Failure(
                f"{task_id} is not mapped, so it has no pieces. Mapped: {', '.join(mapped) or 'none'}."
            )
        raise Failure(f"The DAG {self.dag_id!r} has no task {task_id!r}.{near(task_id, self.tasks)}")


def remote_run(api: Api, dag_id: str, run_id: str) -> RemoteRun:
    """Return a run by its id, or the latest."""
    tasks = api.get(f"dags/{part(dag_id)}/tasks")
    if tasks is None:
        known = [one["dag_id"] for one in api.all("dags", "dags")]
        raise Failure(f"There is no DAG {dag_id!r} there.{near(dag_id, known)}")
    runs = f"dags/{part(dag_id)}/dagRuns"
    run = None if run_id == LATEST else api.get(f"{runs}/{part(run_id)}")
    if run is None:
        recent = (api.get(runs, order_by=api.latest_first, limit=100) or {"dag_runs": []})["dag_runs"]
        if run_id != LATEST or not recent:
            raise Failure(no_run(dag_id, run_id, [one["dag_run_id"] for one in recent]))
        run = recent[0]
    found = str(run["dag_run_id"])
    return RemoteRun(
        dag_id,
        found,
        str(run["state"]),
        {one["task_id"]: one for one in tasks["tasks"]},
        api.instances(dag_id, found),
    )


def told_by(api: Api, dag_id: str, run_id: str, task_id: str | None) -> tuple[str, str, list[Told]]:
    """Return a run's id and state, and what became of the pieces of its mapped tasks."""
    run = remote_run(api, dag_id, run_id)
    return run.run_id, run.state, told_of_run(api, run, run.mapped(task_id))


def told_of_run(api: Api, run: RemoteRun, tasks: Sequence[str]) -> list[Told]:
    """Return what became of the pieces of mapped tasks of a run."""
    told = []
    for mapped in tasks:
        instances = [one for one in run.instances if one["task_id"] == mapped]
        rows = [_row(one) for one in sorted(instances, key=lambda i: i["map_index"]) if is_piece(one)]
        _add_errors(api, run, mapped, rows)
        told.append(Told(mapped, rows, _note(api, run, mapped, instances, rows)))
    return told


def is_piece(instance: dict[str, Any]) -> bool:
    """Tell whether an instance stands for a piece: not for a task that was not expanded."""
    return bool(instance["map_index"] >= 0 and instance["state"] != "removed")


def state_of(instance: dict[str, Any]) -> str:
    """Return the state of a piece: what a DAG-run timeout left undone has no end, and is no more than not started."""
    if instance["state"] is None:
        return NOT_STARTED
    # Of a plan without pieces the one instance that stands for it has no end either.
    if instance["state"] == SKIPPED and instance["end_date"] is None and instance["map_index"] >= 0:
        return NOT_STARTED
    return str(instance["state"])


def _row(instance: dict[str, Any]) -> dict[str, Any]:
    index = instance["map_index"]
    return {
        "key": None,
        "label": instance.get("rendered_map_index") or f"{instance['task_id']}[{index}]",
        "map_index": index,
        "state": state_of(instance),
        "try_number": instance["try_number"],
        "duration_s": instance["duration"],
        "value": None,
        "error": None,
    }


def _add_errors(api: Api, run: RemoteRun, task_id: str, rows: list[dict[str, Any]]) -> None:
    for row in [row for row in rows if row["state"] == FAILED][:_ERRORS_ASKED]:
        record = api.xcom(run.dag_id, run.run_id, task_id, row["map_index"], _RECORD_KEY)
        known = isinstance(record, dict) and record.get("try_number") == row["try_number"]
        row["error"] = (record.get("error") if known else None) or dict(_NO_ERROR)
        row["key"] = record.get("key") if isinstance(record, dict) else None


def _note(
    api: Api, run: RemoteRun, task_id: str, instances: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> str | None:
    if not rows:
        states = {str(one["state"]) for one in instances} - {SKIPPED, "removed"}
        return f"{task_id} was not expanded: {', '.join(sorted(states))}." if states else None
    failed = [row for row in rows if row["state"] == FAILED]
    if is_batched(run, task_id) and failed:
        return about_items(api, (run.dag_id, run.run_id, task_id), failed, _ERRORS_ASKED)
    return None


def is_batched(run: RemoteRun, task_id: str) -> bool:
    """Tell whether a task works on batches whose items count as pieces."""
    task = run.tasks.get(task_id) or {}
    return (
        "@task.batched" in (task.get("operator_name"), _class_of(task))
        or _class_of(task) == "BatchedOperator"
    )


def may_have_batches(run: RemoteRun, task_id: str) -> bool:
    """Tell whether a task may work on batches of which it keeps what is done: its plan says whether it does."""
    return is_batched(run, task_id) or _class_of(run.tasks.get(task_id) or {}) == "DuckDBPartitionOperator"


def _class_of(task: dict[str, Any]) -> Any:
    return (task.get("class_ref") or {}).get("class_name")
