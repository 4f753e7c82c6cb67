"""Running again in few full batches what a run has not done of many: by a new run, for Airflow keeps those of a run.

The instances of a mapped task are fixed once it is expanded, and only a whole instance can be cleared.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AirflowException,
    in_order,
    own_session,
    refused_run_id,
    trigger_like,
    validated_params,
)
from airflow_mapping_kit.exceptions import PlanError, RedriveError
from airflow_mapping_kit.plans.mapped import Mapped, mapped_in
from airflow_mapping_kit.plans.planned import sources
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.again import Again
from airflow_mapping_kit.redrive.clearing import log
from airflow_mapping_kit.redrive.preview import condition
from airflow_mapping_kit.redrive.undone import Undone, maker_of
from airflow_mapping_kit.results import FINISHED_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.redrive.clearing import Actor

# A run of a run of a run has no longer id than the first of them.
_OURS = re.compile(r"redrive__(.*)__[0-9a-f]{12}\Z", re.DOTALL)
_MAX_ID = 250


@dataclass(frozen=True)
class Repacked:
    """A run that works again on what another has not done, in batches as large as its largest.

    :param run_id: the same for the same items, so that they are not worked on twice at a time.
    :param conf: what it is triggered with.
    :param undone: what it works on, by generator.
    :param others: the tasks that run in it as in any run, in order; of mapped ones all pieces.
    :param notes: what else has to be said, a sentence each.
    """

    dag: Any
    again: Again
    run_id: str
    conf: dict[str, Any]
    undone: tuple[Undone, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def items(self) -> int:
        """How many items it works on."""
        return sum(one.count for one in self.undone)

    @property
    def batches(self) -> int:
        """How many batches they are."""
        return sum(-(-one.count // one.size) for one in self.undone)

    @property
    def spread(self) -> int:
        """Over how many batches they are spread in the run that has not done them."""
        return sum(len(one.places) for one in self.undone)


def repacked(dag: Any, targets: Sequence[Mapped], run_id: str, run_state: str) -> Repacked | None:
    """Return the run that works again on what some tasks have not done in another; `None` if that is nothing.

    :param targets: the mapped tasks and groups whose items are meant.
    :raises RedriveError: if there can't be one, or it is at work already.
    """
    notes = condition(dag.dag_id)
    if run_state not in FINISHED_RUN:
        raise RedriveError(
            f"The run {run_id} is {run_state}, so it is not known yet what it leaves undone. Wait until it has ended, "
            f"or leave --repacked out."
        )
    past = [task.task_id for task in dag.tasks if task.depends_on_past or task.wait_for_downstream]
    if past:
        raise RedriveError(
            f"{past[0]} has depends_on_past: in a new run it would wait for ever for the run that failed. Leave "
            "--repacked out."
        )
    undone, left = _undone(targets, run_id)
    if not undone:
        if left:
            raise RedriveError(
                f"What failed belongs to {', '.join(left)}, which takes no batches directly from a generator, so "
                "there is nothing to pack. Leave --repacked out."
            )
        return None
    if left:
        notes.append(f"Not part of it: {', '.join(left)}, which gets no batches of a generator alone.")
    again = Again(run_id, tuple(mapped.name for one in undone for mapped in one.targets))
    conf = _conf(dag.dag_id, again)
    new = _id(again, undone)
    _refuse(dag, new, conf)
    return Repacked(dag, again, new, conf, tuple(undone), tuple(_others(dag)), tuple(notes))


def start(shown: Repacked, actor: Actor) -> bool:
    """Start the run, and say so in Airflow's audit log.

    :return: whether it was: not where somebody else has started it in the meantime.
    :raises RedriveError: if Airflow refuses.
    """
    dag_id = shown.dag.dag_id
    # Before it, as Airflow does: whatever ends this process then, nothing is done that the log doesn't tell of.
    with own_session() as session:
        log(session, actor, dag_id, shown.run_id, {"start": shown.conf})
    try:
        return trigger_like(dag_id, shown.run_id, shown.again.run_id, shown.conf, user=actor.owner)
    except (AirflowException, ValueError) as error:
        raise RedriveError(f"The run {shown.run_id} can't be started: {error}") from error


def _undone(targets: Sequence[Mapped], run_id: str) -> tuple[list[Undone], list[str]]:
    """Return what is not done by generator, and the names of what failed and can't be packed."""
    by_maker: dict[str, list[Mapped]] = {}
    left = []
    for mapped in targets:
        maker = maker_of(mapped)
        if maker is not None:
            by_maker.setdefault(maker, []).append(mapped)
        elif _failed(mapped, run_id):
            left.append(mapped.name)
    try:
        found = [Undone(maker, of, run_id, lambda _: tables) for maker, of in by_maker.items()]
        return [one for one in found if one.count], left
    except PlanError as error:
        raise RedriveError(str(error)) from error


def _failed(mapped: Mapped, run_id: str) -> bool:
    instances = tables.instances(mapped.dag.dag_id, run_id, mapped.task_ids)
    return any(one.state in {"failed", "upstream_failed"} for of in instances.values() for one in of.values())


def _conf(dag_id: str, again: Again) -> dict[str, Any]:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    with own_session() as session:
        query = select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == again.run_id)
        return again.within(session.scalar(query))


def _id(again: Again, undone: Iterable[Undone]) -> str:
    told = json.dumps([again.run_id, again.names, [[one.task_id, [*one.places.items()]] for one in undone]])
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    ours = _OURS.fullmatch(again.run_id)
    before = ours[1] if ours else again.run_id
    return f"redrive__{before[: _MAX_ID - len('redrive____') - len(digest)]}__{digest}"


def _refuse(dag: Any, run_id: str, conf: dict[str, Any]) -> None:
    """Refuse a run that there is already, or that Airflow would not have."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    with own_session() as session:
        query = select(DagRun.state).where(DagRun.dag_id == dag.dag_id, DagRun.run_id == run_id)
        row = session.execute(query).first()
    if row is not None:
        state = str(getattr(row[0], "value", row[0]))
        if state not in FINISHED_RUN:
            raise RedriveError(f"The run {run_id} works on them already: it is {state}.")
        raise RedriveError(
            f"The run {run_id} has worked on them already, and ended in state {state}. What it has not done, run "
            f"again with `mapping-kit retry {dag.dag_id} {run_id}`; to have all of them once more, delete it."
        )
    refused = refused_run_id([run_id])
    if refused is not None:
        raise RedriveError(
            f"No run can be started, since this Airflow allows no id like {refused[0]}: its [scheduler] "
            f"allowed_run_id_pattern is {refused[1]!r}. Have it allow ids that begin with redrive__."
        )
    try:
        validated_params(dag, conf)
    except ValueError as error:
        raise RedriveError(f"The params of {dag.dag_id} don't allow the conf of this run: {error}") from error


def _others(dag: Any) -> Iterable[str]:
    """Yield the tasks that do in the new run what they do in any: no generator, and mapped over none."""
    given = {
        task_id
        for mapped in mapped_in(dag)
        if any(_gives(dag.get_task(source.task_id)) for source in _all_sources(mapped))
        for task_id in (*mapped.task_ids, *mapped.teardowns)
    }
    return (task.task_id for task in in_order(dag) if task.task_id not in given and not _gives(task))


def _all_sources(mapped: Mapped) -> Iterable[Any]:
    """Yield what a mapped task is mapped over, and what other mapped tasks before it are."""
    waiting, seen = [*sources(mapped.expand_input)], set()
    while waiting:
        source = waiting.pop()
        if source not in seen:
            seen.add(source)
            yield source
            if source.mapped:
                waiting += sources(Mapped.of(mapped.dag.get_task(source.task_id)).expand_input)


def _gives(task: Any) -> bool:
    operator_class = getattr(task, "operator_class", type(task))
    return bool(getattr(operator_class, "gives_what_is_not_done", False))
