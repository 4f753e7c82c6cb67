"""Runs of a DAG behind the API that tasks and triggers have: their states, starting and restarting. Airflow 3.

It says less than the tables of Airflow 2, and does less. How many runs are in some states can be asked of many at
once, the state of each can't; nothing is told of a DAG but whether it is paused; and a failed run can't be run
again in part.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import ChildRunError
from airflow_mapping_kit.operators.dagrun.states import QUEUED, RUNNING, chunked
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_mapping_kit.operators.dagrun.plan import ChildRun

_ATTEMPTS = 10
_BAD_REQUEST, _NOT_FOUND = 400, 404


@dataclass(frozen=True)
class Child:
    """A DAG that can run now, as far as can be told."""

    dag_id: str
    # Nobody tells how many runs of it go on at once.
    max_active_runs: int = 0

    @classmethod
    def of(cls, dag_id: str) -> Child:
        """Return the DAG of this name.

        :raises ChildRunError: if there is none, or its runs would wait for ever.
        """
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        with _refusals(dag_id, "a run"):
            is_paused = RuntimeTaskInstance.get_dag(dag_id).is_paused
        if is_paused:
            raise ChildRunError(
                f"The DAG {dag_id!r} is paused, so its runs would never begin. Unpause it "
                f"(`airflow dags unpause {dag_id}`), then clear this task."
            )
        return cls(dag_id)

    def check_params(self, runs: Iterable[ChildRun]) -> None:
        """Leave it to the start of each run: nobody tells which params the DAG has."""


def states(dag_id: str, run_ids: Sequence[str]) -> dict[str, str]:
    """Return the states of runs by run id; those that don't exist are missing.

    Of 250 that have ended alike it asks twice or three times; where they differ it halves them until they are alike.
    """
    found: dict[str, str] = {}
    for chunk in chunked(run_ids):
        there = _those_of(dag_id, chunk)
        found.update(dict.fromkeys(there, RUNNING))
        # What goes on meanwhile is one that runs.
        for state in (SUCCESS, FAILED, QUEUED):
            there = [run_id for run_id in there if found[run_id] == RUNNING]
            found.update(dict.fromkeys(_those_of(dag_id, there, state), state))
    return found


def tally(dag_id: str, run_ids: Sequence[str]) -> Counter[str]:
    """Return how many of some runs, no more than are asked for at once, are in which state."""
    numbers = {state: _count(dag_id, run_ids, state) for state in (QUEUED, RUNNING, SUCCESS, FAILED)}
    return Counter({state: number for state, number in numbers.items() if number})


def failed_tasks(dag_id: str, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tasks that failed in some runs by run id, sorted; those without are missing."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found: dict[str, list[str]] = {}
    for run_id in run_ids:
        tasks = RuntimeTaskInstance.get_task_breadcrumbs(dag_id, run_id)
        failed = {str(one["task_id"]) for one in tasks if one["state"] == FAILED}
        if failed:
            found[run_id] = sorted(failed)
    return found


def is_paused(dag_id: str) -> bool:  # noqa: ARG001 -- as on Airflow 2
    """Return that the DAG goes on: a trigger can't ask."""
    return False


def has_triggerer() -> bool:
    """Return that a triggerer is alive: a task can't ask."""
    return True


def start(child: Child, run: ChildRun) -> bool:
    """Start a run.

    :return: whether it was started here: not if another process has done so since somebody looked.
    :raises ChildRunError: if Airflow refuses the run for what the DAG is, or for its params.
    """
    for _ in range(_ATTEMPTS):
        if _trigger(child.dag_id, run, reset_dag_run=False):
            return True
        # No two runs of a DAG have the same logical date: where that was taken, the next is another.
        if _count(child.dag_id, [run.run_id]):
            return False
    raise ChildRunError(
        f"{run.key} found no free logical date in {_ATTEMPTS} attempts. Clear this task: it goes on from here."
    )


def restart(child: Child, run: ChildRun) -> bool:
    """Run a failed run again, all of its tasks.

    :return: whether that was done here: not if the run is no failed one any more.
    """
    return bool(_count(child.dag_id, [run.run_id], FAILED)) and _trigger(
        child.dag_id, run, reset_dag_run=True
    )


def _trigger(dag_id: str, run: ChildRun, *, reset_dag_run: bool) -> bool:
    """Start a run, or restart it if it exists and that is wanted; tell whether it was."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

    message = TriggerDagRun(
        dag_id=dag_id,
        run_id=run.run_id,
        conf=run.conf,
        logical_date=datetime.now(timezone.utc),
        reset_dag_run=reset_dag_run,
    )
    with _refusals(dag_id, run.key):
        answer = task_runner.SUPERVISOR_COMMS.send(message)
    return not isinstance(answer, ErrorResponse)


@contextmanager
def _refusals(dag_id: str, what: str) -> Iterator[None]:
    """Say in words of the kit why Airflow refuses, where it would do so again; let other errors be."""
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        yield
    except AirflowRuntimeError as error:
        answer = error.error.detail or {}
        _refuse(dag_id, what, answer.get("status_code"), answer.get("detail"))
        raise
    except ServerResponseError as error:  # within `dag.test()`, where no process is between
        _refuse(dag_id, what, error.response.status_code, error.response.json())
        raise


def _refuse(dag_id: str, what: str, status: int | None, answer: Any) -> None:
    detail = answer.get("detail") if isinstance(answer, dict) else answer
    reason, said = (
        (detail.get("reason"), detail.get("message")) if isinstance(detail, dict) else (None, detail)
    )
    if status == _NOT_FOUND:
        raise ChildRunError(
            f"There is no DAG {dag_id!r}. Check trigger_dag_id, and with `airflow dags list-import-errors` whether "
            f"its file can be imported."
        )
    if status == _BAD_REQUEST and reason == "import_errors":
        raise ChildRunError(
            f"The file of the DAG {dag_id!r} can't be imported: see `airflow dags list-import-errors`. Mend the file."
        )
    if status == _BAD_REQUEST:
        # A validator shows the whole schema after the first line.
        text = (str(said).splitlines() or ["?"])[0].rstrip(".:")
        if reason != "value_error":
            raise ChildRunError(
                f"Airflow refuses to start {what} of the DAG {dag_id!r}: {text}. Runs that were started before go on: "
                f"mend what it says, and clear this task; it starts those that are missing."
            )
        raise ChildRunError(
            f"The DAG {dag_id!r} doesn't allow what {what} would be told: {text}. Runs that were started before it go "
            f"on. Change the item, conf, item_key or the params, and clear this task: it starts those that are missing."
        )


def _those_of(dag_id: str, run_ids: Sequence[str], state: str | None = None) -> Sequence[str]:
    """Return those of some runs that exist, or are in a state."""
    number = _count(dag_id, run_ids, state) if run_ids else 0
    if number in (0, len(run_ids)):
        return run_ids if number else []
    middle = len(run_ids) // 2
    return [
        run_id for half in (run_ids[:middle], run_ids[middle:]) for run_id in _those_of(dag_id, half, state)
    ]


def _count(dag_id: str, run_ids: Sequence[str], state: str | None = None) -> int:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = None if state is None else [state]
    return int(RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=list(run_ids), states=states))
