"""Which child runs an instance waits for, kept where its trigger and what comes after it find them.

An XCom of the instance: it is read by its key in Airflow's pages, stays while the instance is deferred, and goes
when its next try starts. A trigger's own arguments are a column that holds 64 KiB on MySQL, some hundred runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, again_if_disconnected, own_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.operators.dagrun.plan import ChildRun, Parent

RUNS_KEY = "mapping_kit_child_runs"


def keep(task_instance: Any, runs: Iterable[ChildRun]) -> None:
    """Keep which child runs belong to a running instance."""
    task_instance.xcom_push(RUNS_KEY, [{"key": run.key, "run_id": run.run_id} for run in runs])


def kept(parent: Parent) -> dict[str, str]:
    """Return the child runs of an instance, `{run id: key}`, in the order of its items."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time.xcom import XCom

        rows = XCom.get_one(key=RUNS_KEY, **parent._asdict())
    else:
        rows = _in_table(parent)
    return {row["run_id"]: row["key"] for row in rows or ()}


@again_if_disconnected
def _in_table(parent: Parent) -> Any:
    from airflow.models.xcom import XCom

    with own_session() as session:
        return XCom.get_one(key=RUNS_KEY, **parent._asdict(), session=session)
