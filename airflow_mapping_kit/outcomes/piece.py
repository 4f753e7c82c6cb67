"""What became of one piece, from the instances that worked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.plans.arguments import has_template
from airflow_mapping_kit.plans.batches import RETURN_VALUE
from airflow_mapping_kit.plans.planned import key_of
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED, SUCCESS, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance
    from airflow_mapping_kit.results import Error, Result

REMOVED = "removed"
_FINISHED = (SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED)


class Piece:
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
        self.instances = {
            task_id: by_index[index] for task_id, by_index in alive.items() if index in by_index
        }
        # A record of an earlier try says nothing about this one.
        self._records = {
            task_id: record
            for task_id, one in self.instances.items()
            if isinstance(record := records[task_id].get(index), dict)
            and record.get("try_number") == one.try_number
        }

    @property
    def worked_on(self) -> str | None:
        """The key that the instances recorded when they started."""
        for task_id, record in self._records.items():
            # Skipped and upstream-failed ones may never have started on what the record of their last run names.
            if self.instances[task_id].state in {SUCCESS, FAILED}:
                return record.get("key")
        return None

    def key(self, arguments: dict[str, Any], *, by_function: bool) -> str:
        """Return the key of the piece: by the plan, or as its instance recorded it where a plan can't tell.

        :param arguments: what the piece was mapped over.
        :param by_function: whether they went through a function of the DAG's author, which may give something
            else whenever it is called.
        """
        if by_function or has_template(arguments):
            keys = (record.get("key") for record in self._records.values())
            recorded = self.worked_on or next(filter(None, keys), None)
            if recorded is not None:
                return recorded
        return key_of(arguments, self._mapped.expand_input.value)

    def moved(self, keys: list[str]) -> bool:
        """Tell whether the plan has another piece at this index than the one that was worked on."""
        if self.index >= len(keys) or not self.instances:
            return True
        return self.worked_on is not None and self.worked_on != keys[self.index]

    def value(self, found: Mapping[tuple[str, str], Mapping[int, Any]]) -> Any:
        """Return what the piece returned, `None` if nothing: of a group that returns a dict, such a dict.

        :param found: what its tasks pushed, as `tables.xcoms` gives it.
        """
        return self._mapped.value(lambda task_id: found.get((task_id, RETURN_VALUE), {}).get(self.index))

    def result(self, key: str, label: str, value: Any) -> Result:
        """Return the row of the piece.

        :param label: what it is called where its instances have no label.
        :param value: what its instance returned.
        """
        labels = [one.label for one in self.instances.values() if one.label]
        errors = {task_id: record.get("error") for task_id, record in self._records.items()}
        return self.row(key, labels[0] if labels else label, value, self.instances, errors)

    def row(
        self,
        key: str,
        label: str,
        value: Any,
        instances: Mapping[str, Instance],
        errors: Mapping[str, Error | None],
    ) -> Result:
        """Return the row of the piece, or of an item of it, from how each of its tasks ended.

        :param instances: by task; of an item as if it had been an instance of its own.
        :param errors: what stopped those that failed.
        """
        state = self.state({task_id: one.state for task_id, one in instances.items()})
        # Of a group the task that stopped the piece, of any other piece whichever is there.
        stopped = [errors.get(task_id) for task_id, one in instances.items() if one.state == state]
        durations = [one.duration for one in instances.values() if one.duration is not None]
        return {
            "key": key,
            "label": label,
            "map_index": self.index,
            "state": state,
            "try_number": max((one.try_number for one in instances.values()), default=0),
            "duration_s": round(sum(durations), 6) if durations else None,
            "value": value if state == SUCCESS else None,
            "error": _error(state, stopped),
        }

    def error(self, task_id: str) -> Error | None:
        """Return what stopped the instance of a task, as it recorded it."""
        return self._records.get(task_id, {}).get("error")

    def state(self, states: Mapping[str, str | None]) -> str:
        """Return the state of the piece from those of its tasks: the one that says most of what went wrong."""
        found = worst(states.values())
        if found != SKIPPED:
            return found
        # A group that chose a branch has skipped tasks in every piece: what it ends in decides.
        ends = self._mapped.returned or self._mapped.leaves
        return SUCCESS if any(states.get(task_id) == SUCCESS for task_id in ends) else SKIPPED


def _error(state: str, stopped: list[Error | None]) -> Error | None:
    """Return what stopped a piece; what is upstream-failed has none, unless an item brought it along."""
    if state not in {FAILED, UPSTREAM_FAILED}:
        return None
    known = next((error for error in stopped if error is not None), None)
    return known or (error_of(None) if state == FAILED else None)


def worst(states: Iterable[str | None]) -> str:
    """Return the state of several that says most of what went wrong: `failed` before `skipped`, and so on."""
    named = [state if state in _FINISHED else NOT_STARTED for state in states if state != REMOVED]
    for state in (FAILED, UPSTREAM_FAILED, NOT_STARTED, SKIPPED):
        if state in named:
            return state
    return SUCCESS if named else NOT_STARTED
