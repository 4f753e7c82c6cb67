"""The runs of a DAG that a task made a plan in, as a task of Airflow 3 gets to know them: by asking its supervisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True)
class Earlier:
    """Another run of the DAG.

    :param started: since when what failed in it has failed, at the latest. A clear moves it.
    :param due: since when what succeeded in it may have been loaded, at the earliest: some of a run that was cleared
        was not loaded again.
    :param over: whether it has ended.
    """

    run_id: str
    started: datetime
    due: datetime
    over: bool


def other_runs(task_instance: Any, most: int) -> tuple[list[Earlier], int]:
    """Return the other runs in which a task succeeded, the newest first, and how many more there are.

    A call for all of them, and one for each: nothing tells of several when they were.

    :param task_instance: that of the task in its run, as it has it.
    :param most: so many are looked at.
    """
    answer = task_instance.get_task_states(
        task_instance.dag_id, task_ids=[task_instance.task_id], map_index=-1
    )
    run_ids = [
        run_id
        for run_id, states in answer.items()
        if run_id != task_instance.run_id and SUCCESS in map(str, states.values())
    ]
    # Of ids as Airflow makes them the date decides, after the kind; no other order is known before each was asked for.
    run_ids.sort(key=lambda run_id: run_id.partition("__")[2] or run_id, reverse=True)
    found = list(_asked(task_instance.dag_id, run_ids[:most]))
    return sorted(found, key=lambda run: run.started, reverse=True), len(run_ids) - len(run_ids[:most])


def _asked(dag_id: str, run_ids: list[str]) -> Iterator[Earlier]:
    parts.need(parts.LAST_TIME)
    from airflow.sdk.execution_time.comms import GetDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    for run_id in run_ids:
        run = SUPERVISOR_COMMS.send(GetDagRun(dag_id=dag_id, run_id=run_id))
        started = run.start_date or run.run_after
        due = min(started, run.run_after) if run.clear_number else started
        yield Earlier(run_id, started, due, str(run.state) in {SUCCESS, FAILED})
