"""Which child runs an instance waits for, kept where its trigger and what comes after it find them.

An XCom of the instance: it is read by its key in Airflow's pages, stays while the instance is deferred, and goes
when its next try starts. A trigger's own arguments are a column that holds 64 KiB on MySQL, some hundred runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import AIRFLOW_3, again_if_disconnected, own_session
from airflow_mapping_kit.operators.dagrun.plan import ChildRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_mapping_kit.operators.dagrun.plan import Parent

RUNS_KEY = "mapping_kit_child_runs"


class Step(NamedTuple):
    """Something to be done for a child run.

    :param run: the run.
    :param again: whether it is to run again what did not succeed in it, or to be started.
    """

    run: ChildRun
    again: bool


class Kept(NamedTuple):
    """What was kept of an instance.

    :param keys: its child runs, `{run id: key}`, in the order of its items.
    :param steps: what it was to do for some of them, one after the other; nothing where it did so at once.
    """

    keys: dict[str, str]
    steps: Sequence[Step]

    def begun(self, done: int) -> Iterator[str]:
        """Yield the ids of the runs for which nothing is left to do once so many steps are done."""
        later = {step.run.run_id for step in self.steps[done:]}
        return (run_id for run_id in self.keys if run_id not in later)


def keep(task_instance: Any, runs: Iterable[ChildRun], steps: Iterable[Step]) -> None:
    """Keep which child runs belong to a running instance, and what it is still to do for them."""
    task_instance.xcom_push(
        RUNS_KEY,
        {
            "runs": [{"key": run.key, "run_id": run.run_id} for run in runs],
            "steps": [{**step.run._asdict(), "again": step.again} for step in steps],
        },
    )


def kept(parent: Parent) -> Kept:
    """Return what was kept of an instance, without runs if that was deleted."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time.xcom import XCom

        found = XCom.get_one(key=RUNS_KEY, **parent._asdict())
    else:
        found = _in_table(parent)
    found = found or {"runs": [], "steps": []}
    return Kept(
        {row["run_id"]: row["key"] for row in found["runs"]},
        [Step(ChildRun(row["key"], row["run_id"], row["conf"]), row["again"]) for row in found["steps"]],
    )


@again_if_disconnected
def _in_table(parent: Parent) -> Any:
    from airflow.models.xcom import XCom

    with own_session() as session:
        return XCom.get_one(key=RUNS_KEY, **parent._asdict(), session=session)
