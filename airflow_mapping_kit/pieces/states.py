"""What became of the pieces of a mapped task or group in one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.pieces import tables
from airflow_mapping_kit.pieces.arguments import has_template
from airflow_mapping_kit.pieces.planned import Plan, key_of, sources
from airflow_mapping_kit.pieces.records import RECORD_KEY, error_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED, SUCCESS, UPSTREAM_FAILED, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.pieces.mapped import Mapped
    from airflow_mapping_kit.pieces.tables import Instance

_RETURN_VALUE = "return_value"
_FINISHED = (SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED)
_REMOVED = "removed"


@dataclass
class Outcome:
    """What became of a plan.

    :param results: a row a piece, in map-index order.
    :param unexpanded: the state of a task that was never expanded, else `None`.
    :param upstream: the states of the tasks right before it, of a mapped one the worst: `{task id: state}`.
    :param moved: where an instance did not work on the piece that the plan has at its index:
        `(map index, the key it worked on, the key in the plan)`, `None` for what is missing on one side.
    """

    results: list[Result] = field(default_factory=list)
    unexpanded: str | None = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    moved: list[tuple[int, str | None, str | None]] = field(default_factory=list)


def outcome(mapped: Mapped, run_id: str) -> Outcome:
    """Return what became of every piece of `mapped` in a run.

    Two queries, however many pieces there are.

    :raises PlanError: if the plan cannot be read any more.
    """
    dag_id = mapped.dag.dag_id
    upstream = _upstream(mapped)
    instances = tables.instances(dag_id, run_id, {*mapped.task_ids, *upstream})
    before = {task_id: _worst([one.state for one in instances[task_id].values()]) for task_id in upstream}
    alive = {
        task_id: {i: one for i, one in instances[task_id].items() if i >= 0 and one.state != _REMOVED}
        for task_id in mapped.task_ids
    }
    if not any(alive.values()):
        states = [one.state for task_id in mapped.task_ids for one in instances[task_id].values()]
        # A plan that became empty leaves nothing but removed instances.
        emptied = bool(states) and set(states) == {_REMOVED}
        return Outcome(unexpanded=None if emptied else _worst(states), upstream=before)

    wanted = sources(mapped.expand_input)
    pairs = {(task_id, RECORD_KEY) for task_id in mapped.task_ids}
    pairs |= {(source.task_id, source.key) for source in wanted}
    if mapped.returns:
        pairs.add((mapped.returns, _RETURN_VALUE))
    found = tables.xcoms(dag_id, run_id, pairs)
    plan = Plan(mapped.expand_input, lambda source: tables.value_of(source, found))
    records = {task_id: found[task_id, RECORD_KEY] for task_id in mapped.task_ids}
    values = found[mapped.returns, _RETURN_VALUE] if mapped.returns else {}

    pieces = [_Piece(mapped, index, alive, records) for index in range(max(len(plan), _length(alive)))]
    planned = [plan[index] for index in range(len(plan))]
    keys = [piece.key(arguments) for piece, arguments in zip(pieces, planned, strict=False)]
    moved = [
        (piece.index, piece.worked_on, keys[piece.index] if piece.index < len(keys) else None)
        for piece in pieces
        if piece.moved(keys)
    ]
    results = [piece.result(key, values) for piece, key in zip(pieces, distinct(keys), strict=False)]
    return Outcome(results=results, upstream=before, moved=moved)


def _upstream(mapped: Mapped) -> set[str]:
    """Return the tasks right before a mapped task or group: they say why nothing was expanded."""
    before = {
        upstream.task_id
        for task_id in mapped.task_ids
        for upstream in mapped.dag.get_task(task_id).upstream_list
        if upstream.task_id not in mapped.task_ids
    }
    return before | {source.task_id for source in sources(mapped.expand_input)}


def _length(alive: dict[str, dict[int, Instance]]) -> int:
    return max((index for by_index in alive.values() for index in by_index), default=-1) + 1


class _Piece:
    """The instances that worked on one piece: one of a task, one of each task of a group."""

    def __init__(
        self,
        mapped: Mapped,
        index: int,
        alive: dict[str, dict[int, Instance]],
        records: dict[str, dict[int, Any]],
    ) -> None:
        self.index = index
        self._mapped = mapped
        self._instances = {
            task_id: by_index[index] for task_id, by_index in alive.items() if index in by_index
        }
        # A record of an earlier try says nothing about this one.
        self._records = {
            task_id: record
            for task_id, one in self._instances.items()
            if isinstance(record := records[task_id].get(index), dict)
            and record.get("try_number") == one.try_number
        }

    @property
    def worked_on(self) -> str | None:
        """The key that the instances recorded when they started."""
        for task_id, record in self._records.items():
            # Skipped and upstream-failed ones may never have started on what the record of their last run names.
            if self._instances[task_id].state in {SUCCESS, FAILED}:
                return record.get("key")
        return None

    def key(self, arguments: dict[str, Any]) -> str:
        """Return the key of the piece; where the plan holds a template, as the instance rendered it."""
        if has_template(arguments) and self.worked_on:
            return self.worked_on
        return key_of(arguments)

    def moved(self, keys: list[str]) -> bool:
        """Tell whether the plan has another piece at this index than the one that was worked on."""
        if self.index >= len(keys) or not self._instances:
            return True
        return self.worked_on is not None and self.worked_on != keys[self.index]

    def result(self, key: str, values: dict[int, Any]) -> Result:
        """Return the row of the piece."""
        state = self._state()
        # Of a group the task that stopped the piece, of any other piece whichever is there.
        stopped = [task_id for task_id, one in self._instances.items() if one.state == state == FAILED]
        tries = [one.try_number for one in self._instances.values()]
        durations = [one.duration for one in self._instances.values() if one.duration is not None]
        labels = [one.label for one in self._instances.values() if one.label]
        return {
            "key": key,
            "label": labels[0] if labels else key,
            "map_index": self.index,
            "state": state,
            "try_number": max(tries, default=0),
            "duration_s": sum(durations) if durations else None,
            "value": values.get(self.index) if state == SUCCESS else None,
            "error": self._records.get(stopped[0], {}).get("error") or error_of(None) if stopped else None,
        }

    def _state(self) -> str:
        states = {task_id: one.state for task_id, one in self._instances.items()}
        worst = _worst(list(states.values()))
        if worst != SKIPPED:
            return worst
        # A group that chose a branch has skipped tasks in every piece: what it ends in decides.
        ends = (self._mapped.returns,) if self._mapped.returns else self._mapped.leaves
        return SUCCESS if any(states.get(task_id) == SUCCESS for task_id in ends) else SKIPPED


def _worst(states: list[str | None]) -> str:
    named = [state if state in _FINISHED else NOT_STARTED for state in states if state != _REMOVED]
    for state in (FAILED, UPSTREAM_FAILED, NOT_STARTED, SKIPPED):
        if state in named:
            return state
    return SUCCESS if named else NOT_STARTED
