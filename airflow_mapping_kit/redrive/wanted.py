"""Which instances have to run again where pieces failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import expand_input_of, in_order, is_mapped
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.planned import sources
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.results import (
    AT_WORK,
    FAILED,
    FINISHED_RUN,
    NOT_STARTED,
    SKIPPED,
    SUCCESS,
    UPSTREAM_FAILED,
    WAITING,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance

TO_DO_AGAIN = (FAILED, UPSTREAM_FAILED, NOT_STARTED)


class Cleared(NamedTuple):
    """An instance that is to run again, in the state that it was found in."""

    task_id: str
    map_index: int
    state: str | None
    label: str | None


@dataclass(frozen=True)
class Redrive:
    """What has to run again.

    :param pieces: the instances of pieces that failed, were not started, or come after one of those in their
        mapped group.
    :param before: unmapped tasks whose failure kept the pieces from running, and what the pieces are set up by.
    :param after: the fan-in and whatever else follows.
    :param at_work: instances of the run that are at work or wait, and are left alone.
    :param done: whether pieces that are done are among them.
    """

    pieces: tuple[Cleared, ...]
    before: tuple[Cleared, ...]
    after: tuple[Cleared, ...]
    at_work: tuple[Cleared, ...]
    done: bool = False

    @property
    def everything(self) -> tuple[Cleared, ...]:
        """All that is to be cleared."""
        return (*self.before, *self.pieces, *self.after)

    @property
    def reasons(self) -> tuple[Cleared, ...]:
        """What it is done for: all others of it run again because one of these does."""
        if self.done:
            return self.pieces
        return tuple(one for one in (*self.before, *self.pieces) if one.state in (None, *TO_DO_AGAIN))

    def within(self, agreed: Redrive) -> Redrive:
        """Return what is left to do of something that was agreed to a while ago; new failures are not part of it."""
        places = {(one.task_id, one.map_index) for one in agreed.everything}
        before, pieces = (
            tuple(one for one in those if (one.task_id, one.map_index) in places)
            for those in (self.before, self.pieces)
        )
        return replace(self, before=before, pieces=pieces)


def redrive(
    targets: Collection[Mapped],
    run_id: str,
    *,
    run_state: str,
    indexes: Mapping[str, Collection[int]] | None = None,
    done: bool = False,
    found: Mapping[str, Mapping[int, Instance]] | None = None,
) -> Redrive:
    """Return what has to run again so that no piece of some mapped tasks is missing.

    :param targets: the mapped tasks and groups, of one DAG.
    :param run_state: the state of the run: what waits in a run that goes on is not done again.
    :param indexes: which map indexes of a target alone, by its name. Default: all.
    :param done: whether pieces that succeeded or were skipped run again as well.
    :param found: the instances of the run, where somebody has read them.
    :raises PlanError: if pieces wait for a mapped task that failed and is none of the targets.
    """
    dag = next(iter(targets)).dag
    if found is None:
        found = tables.instances(dag.dag_id, run_id, list(dag.task_dict))
    to_do = {*TO_DO_AGAIN, None} if run_state in FINISHED_RUN else {*TO_DO_AGAIN}
    chosen_states = {*to_do, SUCCESS, SKIPPED} if done else to_do
    pieces = [one for target in targets for one in _of_pieces(target, found, chosen_states, indexes)]
    cleared = {one.task_id for one in pieces}
    before = _before(dag, cleared, found, to_do)
    chosen = {task_id for target in targets for task_id in (*target.task_ids, *target.teardowns)}
    _refuse_what_waits_for_others(dag, pieces, chosen, found)
    moved = {*cleared, *(one.task_id for one in before)}
    known = {(one.task_id, one.map_index) for one in (*pieces, *before)}
    after = [
        one for one in _after(dag, moved, chosen, found, to_do) if (one.task_id, one.map_index) not in known
    ]
    taken = known | {(one.task_id, one.map_index) for one in after}
    at_work = [
        Cleared(task_id, index, instance.state, instance.label)
        for task_id, by_index in found.items()
        for index, instance in sorted(by_index.items())
        if instance.state in (None, *AT_WORK) and (task_id, index) not in taken
    ]
    left = () if run_state in FINISHED_RUN else tuple(at_work)
    return Redrive(tuple(pieces), tuple(before), tuple(after), left, done)


def _of_pieces(
    target: Mapped,
    found: Mapping[str, Mapping[int, Instance]],
    to_do: Collection[str | None],
    indexes: Mapping[str, Collection[int]] | None,
) -> Iterable[Cleared]:
    # Of a piece of a group also what comes after the task that failed, and succeeded all the same.
    again = {
        (follower, index)
        for task_id in target.task_ids
        for index, instance in found[task_id].items()
        if instance.state in to_do and (indexes is None or index in indexes.get(target.name, ()))
        for follower in (task_id, *_within(target, task_id))
        if index in found[follower]
    }
    for task_id in (*target.task_ids, *target.teardowns):
        for index, instance in sorted(found[task_id].items()):
            if (task_id, index) in again:
                yield Cleared(task_id, index, instance.state, instance.label)


def _within(target: Mapped, task_id: str) -> set[str]:
    """Return the tasks of a piece that run again with one of them: what follows, and what it is set up by."""
    task = target.dag.get_task(task_id)
    again: set[str] = task.get_flat_relative_ids(upstream=False)
    # What was set up for it has been torn down since.
    again |= {one.task_id for one in task.get_upstreams_only_setups_and_teardowns()}
    return again.intersection((*target.task_ids, *target.teardowns))


def _before(
    dag: Any,
    cleared: Collection[str],
    found: Mapping[str, Mapping[int, Instance]],
    to_do: Collection[str | None],
) -> list[Cleared]:
    ancestors = {
        ancestor.task_id
        for task_id in cleared
        for ancestor in dag.get_task(task_id).get_flat_relatives(upstream=True)
        if not is_mapped(ancestor)
    }
    # What was set up for them has been torn down since.
    setups = {one.task_id for task_id in cleared for one in dag.get_task(task_id).get_upstreams_only_setups()}
    return [
        Cleared(task.task_id, index, instance.state, instance.label)
        for task in in_order(dag)
        if task.task_id in ancestors
        for index, instance in found[task.task_id].items()
        if instance.state in to_do or task.task_id in setups
    ]


def _refuse_what_waits_for_others(
    dag: Any,
    pieces: Collection[Cleared],
    chosen: Collection[str],
    found: Mapping[str, Mapping[int, Instance]],
) -> None:
    for task_id in dict.fromkeys(one.task_id for one in pieces if one.state == UPSTREAM_FAILED):
        for ancestor in dag.get_task(task_id).get_flat_relatives(upstream=True):
            states = {instance.state for instance in found[ancestor.task_id].values()}
            if is_mapped(ancestor) and ancestor.task_id not in chosen and states.intersection(TO_DO_AGAIN):
                raise PlanError(
                    f"{task_id} is upstream_failed because before it pieces of {ancestor.task_id} failed, and "
                    f"would be so again: retry {ancestor.task_id}, or leave the task out to retry all."
                )


def _after(
    dag: Any,
    cleared: set[str],
    chosen: Collection[str],
    found: Mapping[str, Mapping[int, Instance]],
    to_do: Collection[str | None],
) -> list[Cleared]:
    """Return what follows the cleared tasks: unmapped tasks as a whole, of mapped ones what is not done."""
    moved, after = set(cleared), []
    followers = {id_ for task_id in cleared for id_ in dag.get_task(task_id).get_flat_relative_ids()}
    for task in in_order(dag):
        if task.task_id not in followers:
            continue
        expand_input = expand_input_of(task)
        # What is mapped over the output of what is done again is mapped over another list afterwards.
        again = expand_input is None or bool({s.task_id for s in sources(expand_input)} & moved)
        if again:
            moved.add(task.task_id)
        elif task.task_id in chosen:
            continue
        after += [
            Cleared(task.task_id, index, instance.state, instance.label)
            for index, instance in sorted(found[task.task_id].items())
            if instance.state in to_do or (again and instance.state not in (*WAITING, "removed"))
        ]
    return after
