"""What has to run again of a run that the REST API tells of.

It tells which tasks follow which, not what each is mapped over: what is mapped over the output of what runs again
stays where it succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.remote_status import state_of
from airflow_mapping_kit.results import AT_WORK, FAILED, FINISHED_RUN, NOT_STARTED, UPSTREAM_FAILED, WAITING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airflow_mapping_kit.cli.remote_status import RemoteRun
    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive


Place = tuple[str, int]


class Graph:
    """The instances of a run, and which tasks follow which.

    :param run: the run, as the API tells of it.
    """

    def __init__(self, run: RemoteRun) -> None:
        self._run = run
        self._ended = run.state in FINISHED_RUN
        self._instances = {(one["task_id"], int(one["map_index"])): one for one in run.instances}
        self._indexes: dict[str, list[int]] = {task_id: [] for task_id in run.tasks}
        for task_id, index in sorted(self._instances):
            self._indexes.setdefault(task_id, []).append(index)
        self._before: dict[str, list[str]] = {task_id: [] for task_id in run.tasks}
        for task_id, task in run.tasks.items():
            for follower in task["downstream_task_ids"]:
                self._before[follower].append(task_id)

    def redrive(self, targets: Sequence[str], only: Collection[Place] | None) -> Redrive:
        """Return what has to run again so that no piece of some mapped tasks is missing.

        :param only: which of the pieces that failed are meant. Default: all.
        """
        from airflow_mapping_kit.redrive.wanted import Redrive

        failed = [
            (task, index)
            for task in targets
            for index in self._indexes[task]
            if self._to_do(task, index) and (only is None or (task, index) in only)
        ]
        mates = [place for task, index in failed for place in self._mates(task, index)]
        pieces = self._in_order({*failed, *mates})
        self._refuse_what_waits_for_others(pieces, targets)
        before = [
            (task, index)
            for task in self._closure({task for task, _ in pieces}, self._before)
            for index in self._indexes[task]
            if index < 0 and not self._is_mapped(task) and self._to_do(task, index)
        ]
        known = {*pieces, *before}
        after = [place for place in self._after(known, targets) if place not in known]
        at_work = [
            place
            for place, one in sorted(self._instances.items())
            if not self._ended and one["state"] in (None, *AT_WORK) and place not in {*known, *after}
        ]
        of_pieces, *others = (
            tuple(map(self._cleared, places)) for places in (pieces, before, after, at_work)
        )
        return Redrive(of_pieces, others[0], others[1], others[2])

    def _to_do(self, task: str, index: int) -> bool:
        state = state_of(self._instances[task, index])
        return state in (FAILED, UPSTREAM_FAILED) or (self._ended and state == NOT_STARTED)

    def _is_mapped(self, task: str) -> bool:
        return bool(self._run.tasks[task]["is_mapped"]) or any(index >= 0 for index in self._indexes[task])

    def _in_group(self, task: str) -> bool:
        return self._is_mapped(task) and not self._run.tasks[task]["is_mapped"]

    def _mates(self, task: str, index: int) -> list[Place]:
        """Return what comes after an instance within its mapped group: the tasks below a group have its name."""
        if not self._in_group(task):
            return []
        group = task.rpartition(".")[0]
        return [
            (follower, index)
            for follower in self._closure({task}, self._after_each())
            if self._in_group(follower)
            and index in self._indexes[follower]
            and _within(group, follower.rpartition(".")[0])
        ]

    def _after(self, places: Collection[Place], targets: Sequence[str]) -> Iterable[Place]:
        """Return what follows: unmapped tasks that have begun or ended, of mapped ones what is not done."""
        for task in self._closure({task for task, _ in places}, self._after_each()):
            mapped = self._is_mapped(task)
            if mapped and task in targets:
                continue
            for index in self._indexes[task]:
                state = self._instances[task, index]["state"]
                if self._to_do(task, index) or (not mapped and state not in (*WAITING, "removed")):
                    yield task, index

    def _after_each(self) -> dict[str, list[str]]:
        return {task_id: task["downstream_task_ids"] for task_id, task in self._run.tasks.items()}

    def _refuse_what_waits_for_others(self, pieces: Sequence[Place], targets: Sequence[str]) -> None:
        waiting = [task for task, index in pieces if self._instances[task, index]["state"] == UPSTREAM_FAILED]
        for task in dict.fromkeys(waiting):
            for ancestor in self._closure({task}, self._before):
                failed = any(self._to_do(ancestor, index) for index in self._indexes[ancestor])
                if self._is_mapped(ancestor) and ancestor not in targets and failed:
                    raise Failure(
                        f"{task} is upstream_failed because before it pieces of {ancestor} failed, and would be so "
                        f"again: retry {ancestor}, or leave the task out to retry all."
                    )

    @staticmethod
    def _closure(begin: Collection[str], following: dict[str, list[str]]) -> list[str]:
        waiting, found = sorted(begin), dict[str, None]()
        while waiting:
            for follower in following[waiting.pop(0)]:
                if follower not in found:
                    found[follower] = None
                    waiting.append(follower)
        return list(found)

    def _in_order(self, places: Collection[Place]) -> list[Place]:
        order = {task: number for number, task in enumerate(self._run.tasks)}
        return sorted(places, key=lambda place: (order[place[0]], place[1]))

    def _cleared(self, place: Place) -> Cleared:
        from airflow_mapping_kit.redrive.wanted import Cleared

        one = self._instances[place]
        # As it says of itself, but for what a timeout left undone.
        state = NOT_STARTED if one["state"] and state_of(one) == NOT_STARTED else one["state"]
        return Cleared(*place, state, one.get("rendered_map_index"))


def _within(group: str, other: str) -> bool:
    """Tell whether one of two groups is the other, or within it."""
    return f"{other}.".startswith(f"{group}.") or f"{group}.".startswith(f"{other}.")
