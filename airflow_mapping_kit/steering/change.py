"""Change and show the settings of running batches. This runs where the metadata database is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import again_if_disconnected, own_session, timezone
from airflow_mapping_kit.exceptions import SteeringError
from airflow_mapping_kit.plans.batches import declared_settings_of
from airflow_mapping_kit.plans.mapped import collected_by
from airflow_mapping_kit.plans.notes import said_of_missing
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.clearing import log
from airflow_mapping_kit.results import FINISHED_RUN
from airflow_mapping_kit.steering import rows
from airflow_mapping_kit.steering.place import is_before, place_of
from airflow_mapping_kit.steering.settings import (
    AS_DECLARED,
    NAMES,
    PAUSED,
    TOLERANCE,
    Change,
    as_json,
    checked,
    merged,
    of_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.redrive.clearing import Actor
    from airflow_mapping_kit.steering.place import Place

_AT_WORK = ("running", "deferred")
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class Held(NamedTuple):
    """The settings of a task in a run.

    :param declared: the settings of the DAG, by name, without those that the task doesn't have.
    :param changed: the settings that somebody has changed.
    :param at_work: how many instances are running.
    :param waiting: how many instances have not run yet.
    """

    task_id: str
    run_id: str
    run_state: str
    declared: Mapping[str, Any]
    changed: Mapping[str, Change]
    at_work: int
    waiting: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON. `value` is the current value, and `null` is no limit."""
        return {
            "task": self.task_id,
            "run_id": self.run_id,
            "run_state": self.run_state,
            "at_work": self.at_work,
            "waiting": self.waiting,
            "settings": [
                {
                    "name": name,
                    "value": self.changed[name].value if name in self.changed else value,
                    "declared": value,
                    "by": self.changed[name].by if name in self.changed else None,
                    "at": self.changed[name].at if name in self.changed else None,
                }
                for name, value in self.declared.items()
            ],
        }


def steered(dag: Any, task_ids: Sequence[str] | None = None) -> list[str]:
    """Return the tasks of a DAG that read settings while they run, in the order of the DAG.

    :param dag: declared or serialized.
    :param task_ids: only these tasks.
    """
    return [
        one.task_id
        for one in dag.task_dict.values()
        if (task_ids is None or one.task_id in task_ids) and declared_settings_of(one) is not None
    ]


@again_if_disconnected
def held(dag: Any, run_id: str, task_id: str) -> Held:
    """Return the settings of a task in a run.

    :param dag: declared or serialized.
    :raises SteeringError: if the task or the run doesn't exist, or the task is not a batched task.
    """
    task = _task(dag, task_id)
    place = place_of(task, run_id)
    with own_session() as session:
        state = _state(session, dag.dag_id, run_id, lock=False)
        kept = None if place is None else rows.read(session, place, place.settings)
    return _held(task, run_id, state, of_json(kept))


@again_if_disconnected
def change(dag: Any, run_id: str, task_id: str, wanted: Mapping[str, Any], *, actor: Actor) -> Held:
    """Change settings of a task in a run, and write this to Airflow's audit log, in one transaction.

    Other settings stay as they are. Running batches follow within seconds, later ones when they start.

    :param wanted: as `checked` takes them: `{"rate": "100/m", "concurrency": "dag"}`.
    :raises SteeringError: if a setting is not valid, the run has ended, or no task would read it. Nothing is
        changed then.
    """
    task = _task(dag, task_id)
    changes = checked(wanted)
    place = _place(task, run_id)
    if changes.get(TOLERANCE, AS_DECLARED) != AS_DECLARED:
        _check_fan_in(task, place)
    now = timezone.utcnow().replace(microsecond=0).isoformat()
    with own_session() as session:
        # Locked, so that two who change something don't take each other's back.
        state = _state(session, dag.dag_id, run_id, lock=True)
        if state in FINISHED_RUN:
            raise SteeringError(
                f"The run {one_line(run_id)} has ended ({state}), so none of its instances runs. If you clear one "
                "of them, the run goes on."
            )
        if -1 not in tables.instances(dag.dag_id, run_id, [place.anchor])[place.anchor]:
            raise SteeringError(
                f"The run {one_line(run_id)} has no instance of {place.anchor}, where the settings of {task_id} "
                "would be stored: the DAG has changed since this run was created."
            )
        before = of_json(rows.read(session, place, place.settings))
        after = merged(before, changes, by=actor.owner, at=now)
        rows.write(session, place, place.settings, as_json(after))
        log(session, actor, dag.dag_id, run_id, {"task": task_id, "set": changes})
    return _held(task, run_id, state, after)


def _task(dag: Any, task_id: str) -> Any:
    those = steered(dag)
    if task_id in those:
        return dag.task_dict[task_id]
    missing = said_of_missing(dag)
    if missing is not None:
        raise SteeringError(missing)
    known = f" Its batched tasks: {', '.join(those)}." if those else " None of the DAG's tasks does."
    if task_id in dag.task_dict:
        raise SteeringError(
            f"{task_id} is not a batched task (@task.batched), so it reads no settings.{known}"
        )
    raise SteeringError(
        f"The DAG {dag.dag_id!r} has no task {one_line(task_id)!r} that works on batches.{known}"
    )


def _place(task: Any, run_id: str) -> Place:
    place = place_of(task, run_id)
    if place is None:
        raise SteeringError(
            f"The DAG {task.dag.dag_id!r} has no task, before or after {task.task_id}, that could store its "
            "settings: map it over batches(items, batch_size=50)."
        )
    return place


def _check_fan_in(task: Any, place: Place) -> None:
    if _fan_in(task) is None:
        raise SteeringError(
            f"Nothing collects {task.task_id}, so there is no fan-in that could tolerate failures."
        )
    if not is_before(place.anchor, task):
        raise SteeringError(
            f"{TOLERANCE} can't be stored until the fan-in of {task.task_id} runs, since no task comes before "
            f"{task.task_id}: map it over batches(items, batch_size=50)."
        )


def _fan_in(task: Any) -> Any:
    for one in task.dag.task_dict.values():
        collected = collected_by(one)
        if collected is not None and task.task_id in collected.task_ids:
            return one
    return None


def _state(session: Any, dag_id: str, run_id: str, *, lock: bool) -> str:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    query = select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    state = session.execute(query.with_for_update(of=DagRun) if lock else query).scalar_one_or_none()
    if state is None:
        raise SteeringError(f"The DAG {dag_id!r} has no run {one_line(run_id)!r}.")
    return str(getattr(state, "value", state))


def _held(task: Any, run_id: str, state: str, changed: Mapping[str, Change]) -> Held:
    declared = {PAUSED: False, **(declared_settings_of(task) or {})}
    fan_in = _fan_in(task)
    if fan_in is not None:
        declared[TOLERANCE] = getattr(fan_in, TOLERANCE, None)
    instances = tables.instances(task.dag.dag_id, run_id, [task.task_id])[task.task_id]
    states = Counter(one.state for one in instances.values())
    at_work = sum(states[one] for one in _AT_WORK)
    ended = sum(states[one] for one in _ENDED)
    return Held(
        task.task_id,
        run_id,
        state,
        {name: declared[name] for name in NAMES if name in declared},
        {name: one for name, one in changed.items() if name in declared},
        at_work,
        len(instances) - at_work - ended,
    )
