"""Trigger and clear runs of Airflow 2 and create its users, for `stack.commands`.

`airflow tasks clear` knows tasks and dates, but neither runs nor map indexes; `airflow users` takes a start a user.
"""

from __future__ import annotations

from typing import Any

from airflow.api.common import trigger_dag
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils import timezone


def trigger(*, dag_id: str, run_id: str, conf: dict[str, Any], logical_date: str | None) -> None:
    """Trigger a run, of this moment or of a logical date."""
    trigger_dag.trigger_dag(
        dag_id,
        run_id=run_id,
        conf=conf,
        execution_date=None if logical_date is None else timezone.parse(logical_date),
        replace_microseconds=False,
    )


def clear(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int | None,
    only_failed: bool,
    downstream: bool,
) -> int:
    """Clear a task of a run, or one of its mapped instances; return how many were cleared."""
    dag = SerializedDagModel.get_dag(dag_id)
    if dag is None:
        raise LookupError(f"There is no DAG {dag_id!r}.")
    runs = DagRun.find(dag_id=dag_id, run_id=run_id)
    if not runs:
        raise LookupError(f"There is no run {run_id!r} of {dag_id!r}.")
    task = task_id if map_index is None else (task_id, map_index)
    after = dag.get_task(task_id).get_flat_relative_ids() if downstream else ()
    cleared: int = dag.clear(
        task_ids=[task, *after],
        start_date=runs[0].execution_date,
        end_date=runs[0].execution_date,
        only_failed=only_failed,
    )
    return cleared


# What everybody needs who may see and run something.
SEES_AND_RUNS = [
    ("can_read", "Website"),
    ("can_read", "DAG Runs"),
    ("can_create", "DAG Runs"),
    ("can_edit", "DAG Runs"),
    ("can_read", "Task Instances"),
    ("can_edit", "Task Instances"),
    ("can_read", "Task Logs"),
    ("can_read", "XComs"),
    ("menu_access", "DAGs"),
]


def create_users(*, users: list[dict[str, str]], of_dags: dict[str, str]) -> None:
    """Create users with their passwords and roles, and before them the roles that may see and run one DAG."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        for role, dag_id in of_dags.items():
            dag = [("can_read", f"DAG:{dag_id}"), ("can_edit", f"DAG:{dag_id}")]
            manager.bulk_sync_roles([{"role": role, "perms": SEES_AND_RUNS + dag}])
        for user in users:
            name = user["name"]
            added = manager.add_user(
                name, name, "Test", f"{name}@localhost", manager.find_role(user["role"]), user["password"]
            )
            if not added:
                raise ValueError(f"Airflow could not create the user {name!r} of the role {user['role']!r}.")
