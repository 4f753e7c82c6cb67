"""What failed when it was last tried: asked of Airflow, which knows what became of the pieces of each run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, hidden_names
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.generators.base import GeneratorOperator
from airflow_mapping_kit.history import history
from airflow_mapping_kit.outcomes.states import outcome
from airflow_mapping_kit.partitions.pieces import piece_key
from airflow_mapping_kit.plans.batches import RETURN_VALUE
from airflow_mapping_kit.plans.mapped import Mapped, mapped_in, published_by
from airflow_mapping_kit.plans.planned import sources
from airflow_mapping_kit.reading.runs import Earlier, other_runs
from airflow_mapping_kit.reading.supervisor import Supervisor
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SUCCESS, UPSTREAM_FAILED

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)

# Of a history the letters of what failed, of what waited for that, and of what its run ended without.
_LETTERS = "fbu"
_UNDONE = (FAILED, UPSTREAM_FAILED, NOT_STARTED)
# So many runs are looked at, as by a history.
RUNS = 400


def failed_last_time(candidates: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
    """Return those of some partitions that failed when they were last tried, in another run than this one.

    What is mapped over the running generator says so, or over batches of what it makes. A partition that waits, is at
    work or was never tried has not failed.

    :raises PlanError: if nothing is mapped over it.
    """
    over, names = mapped_over(context), hidden_names()
    keys = {piece_key({"partition": one}, hidden=names): one for one in candidates}
    failed: set[str] = set()
    for mapped in over:
        failed |= (
            _by_supervisor(mapped, context["ti"], set(keys))
            if AIRFLOW_3
            else _by_tables(mapped, context["run_id"])
        )
    return [one for key, one in keys.items() if key in failed]


def mapped_over(context: Any) -> list[Mapped]:
    """Return what is mapped over the running generator, or over batches of what it makes.

    :raises PlanError: if nothing is.
    """
    task = context["task"]
    over = [mapped for mapped in mapped_in(context["dag"]) if _is_mapped_over(mapped, task.task_id)]
    if not over:
        raise PlanError(
            f"Nothing is mapped over {task.task_id}, so nobody knows what became of its partitions: map a task over "
            f"it, or choose what is missing."
        )
    return over


def _is_mapped_over(mapped: Mapped, task_id: str) -> bool:
    waiting = {source.task_id for source in sources(mapped.expand_input)}
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one == task_id:
            return True
        seen.add(one)
        task = mapped.dag.get_task(one)
        if issubclass(getattr(task, "operator_class", type(task)), GeneratorOperator):
            waiting |= task.upstream_task_ids - seen
    return False


def _by_tables(mapped: Mapped, run_id: str) -> set[str]:
    found = history(mapped.dag, mapped.name, asking=run_id)
    for note in found.notes:
        log.info("%s", note)
    return {found.key(cell) for cell, code in enumerate(found.letters) if chr(code).lower() in _LETTERS}


def _by_supervisor(mapped: Mapped, task_instance: Any, keys: set[str]) -> set[str]:
    """Return which pieces failed last, run by run, until that is known of all of them.

    A task of Airflow 3 has no tables, and nothing says when an instance was: only when its run began, and whether
    anything of that was cleared. So rather is a partition loaded again than left out.
    """
    runs, more = other_runs(task_instance, RUNS)
    if more:
        log.warning(
            "Only %d runs were looked at, and %d more were not: what they left is not known here",
            len(runs),
            more,
        )
    newest: dict[str, tuple[datetime, bool]] = {}
    for run in runs:
        # Whatever is left began before all that is known.
        if keys <= newest.keys() and all(run.started <= since for since, _ in newest.values()):
            break
        for key, failed in of_run(mapped, task_instance, run).items():
            moment = run.started if failed else run.due
            if key in keys and (key not in newest or newest[key] < (moment, failed)):
                newest[key] = moment, failed
    return {key for key, (_, failed) in newest.items() if failed}


def _is_committed(mapped: Mapped, task_instance: Any, run: Earlier) -> bool:
    """Tell whether what a run staged, if it is of those that stage, is committed."""
    task_id = published_by(mapped)
    if task_id is None:
        return True
    read = Supervisor(task_instance, (), run_id=run.run_id)
    found = read.instances(task_instance.dag_id, run.run_id, [task_id])[task_id]
    return any(one.state == SUCCESS for one in found.values())


def of_run(mapped: Mapped, task_instance: Any, run: Earlier) -> dict[str, bool]:
    """Return which pieces of a run are known to have failed in it, and which not."""
    read = Supervisor(task_instance, mapped.task_ids, run_id=run.run_id)
    try:
        found = outcome(mapped, run.run_id, read, values=False)
    except PlanError as error:
        log.warning("What became of the run %s can't be read, and is left out: %s", run.run_id, error)
        return {}
    if found.counts["total"]:
        # What a run has not begun that goes on will come.
        undone = _UNDONE if run.over else (FAILED, UPSTREAM_FAILED)
        staged = run.over and not _is_committed(mapped, task_instance, run)
        return {row["key"]: staged or row["state"] in undone for row in found.rows()}
    if not run.over:
        return {}
    # What it is mapped over was made, and never became instances.
    plan = read.xcom(task_instance.dag_id, run.run_id, task_instance.task_id, -1, RETURN_VALUE)
    names = hidden_names()
    return {piece_key({"partition": one}, hidden=names): True for one in plan or () if isinstance(one, dict)}
