"""What became of child runs: a row each, and the error that names those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.failures import described
from airflow_mapping_kit.operators.dagrun import runs
from airflow_mapping_kit.operators.dagrun.links import url_of
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.operators.dagrun.plan import Parent
    from airflow_mapping_kit.operators.dagrun.states import Ends
    from airflow_mapping_kit.results import ItemResult

DELETED = "deleted"


def rows_of(trigger_dag_id: str, keys: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a row a child run, in the order of the items.

    :param keys: the keys of the items by run id.
    """
    found = runs.states(trigger_dag_id, list(keys))
    return [
        {"key": key, "run_id": run_id, "state": found.get(run_id, DELETED)} for run_id, key in keys.items()
    ]


def check(rows: Sequence[Mapping[str, str]], ends: Ends, *, trigger_dag_id: str, parent: Parent) -> None:
    """Refuse runs that ended as they should not.

    :raises AirflowException: naming them, by the tasks that failed in them.
    """
    failed = [row for row in rows if row["state"] not in ends.allowed]
    if not failed:
        return
    tasks = runs.failed_tasks(trigger_dag_id, [row["run_id"] for row in failed if row["state"] == FAILED])
    url = url_of(trigger_dag_id, parent.dag_id, parent.run_id, FAILED)
    raise AirflowException(
        f"{len(failed):,} of {len(rows):,} runs of {trigger_dag_id} failed:\n"
        f"{described([_result(row, tasks.get(row['run_id'], [])) for row in failed])}\n"
        f"Their run ids are in the XCom return_value of {parent.task_id}. When {parent.task_id} runs again, by a "
        f"retry or cleared, it runs again what did not succeed in those that failed, and leaves the others as "
        f"they are." + (f"\nTo see them: {url}" if "://" in url else "")
    )


def _result(row: Mapping[str, str], tasks: Sequence[str]) -> ItemResult:
    message = f"{', '.join(tasks)} failed"
    if row["state"] == DELETED:
        message = "the run was deleted while this task waited"
    elif row["state"] != FAILED:
        message = f"the run is {row['state']}, which is among failed_states"
    elif not tasks:
        message = "the run failed without a failed task: it timed out, or somebody marked it failed"
    return {
        "key": row["key"],
        "state": FAILED,
        "value": None,
        "error": {"type": None, "message": message},
        "tries": 1,
        "duration_s": None,
    }
