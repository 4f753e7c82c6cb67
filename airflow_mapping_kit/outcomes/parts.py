"""What became of the items of a batch whose rows are not at hand: they are read when they are asked for."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.parts import failed_rows_of, left_by, rows_of
from airflow_mapping_kit.exceptions import FanInError, StorageError
from airflow_mapping_kit.failures import OTHERS, reason
from airflow_mapping_kit.outcomes.named import named_items
from airflow_mapping_kit.outcomes.rows import state_alone
from airflow_mapping_kit.outcomes.tally import Tally
from airflow_mapping_kit.plain import plain
from airflow_mapping_kit.results import FAILED, FAILURES, NOT_STARTED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_mapping_kit.outcomes.named import Extent, Run
    from airflow_mapping_kit.outcomes.piece import Piece
    from airflow_mapping_kit.outcomes.rows import RowsOfItems
    from airflow_mapping_kit.results import ItemResult, ItemRow, PartSummary, Result


class Part:
    """The items of one batch, as each task of its piece left them.

    :param make: makes the rows.
    :param run: where they are read.
    :param arguments: what the piece was mapped over.
    :param summaries: what the tasks pushed that left rows elsewhere.
    :param lists: what the others pushed.
    :param found: all that was pushed, as `tables.xcoms` gives it.
    """

    def __init__(
        self,
        make: RowsOfItems,
        run: Run,
        piece: Piece,
        arguments: Mapping[str, Any],
        extent: Extent,
        summaries: Mapping[str, PartSummary],
        lists: Mapping[str, Sequence[ItemResult]],
        found: Mapping[tuple[str, str], Mapping[int, Any]],
    ) -> None:
        self.piece = piece
        self.extent = extent
        self._make = make
        self._run = run
        self._arguments = arguments
        self._summaries = summaries
        self._lists = {task_id: rows for task_id, rows in lists.items() if len(rows) == extent.count}
        self._found = found
        main = make.mapped.main
        # Whose rows say what items there are: those of the task that a piece is called after, if it has any.
        self._first: str | None = main if main in summaries else (*summaries, None)[0]
        # A task that was killed may have saved some rows.
        self._killed = [
            task_id
            for task_id in make.keys
            if task_id not in summaries
            and task_id not in self._lists
            and task_id in piece.instances
            and piece.instances[task_id].state == FAILED
        ]

    @property
    def size(self) -> int:
        """How many bytes the rows have, as far as that is known."""
        return max((part["bytes"] for part in self._summaries.values()), default=0)

    @property
    def wrong(self) -> Iterator[tuple[str, PartSummary]]:
        """The tasks whose instances have not left a row for each item of the batch, with what they left."""
        for task_id, summary in self._summaries.items():
            same = (summary["first"], summary["count"]) == (self.extent.first, self.extent.count)
            if not same or sum(summary["states"].values()) != self.extent.count:
                yield task_id, summary

    @cached_property
    def as_it_is(self) -> PartSummary | None:
        """The part whose rows are those of the report, one for one, if it is so."""
        ((task_id, instance), *others) = self.piece.instances.items() or [(None, None)]
        if others or task_id != self._first or task_id is None or instance is None:
            return None
        failed = self._has_failed(task_id)
        if self._make.mapped.returns != task_id or instance.state != (FAILED if failed else SUCCESS):
            return None
        return self._summaries[task_id]

    def reference(self, part: PartSummary) -> dict[str, Any]:
        """Return what a report says of a part of this piece, beside where its rows are."""
        return {"map_index": part["map_index"], "count": part["count"], "counted": self.extent.counted}

    @cached_property
    def tally(self) -> Tally:
        """How many items there are of which kind. Rows are read where two tasks differ, and of what was killed."""
        states = {task_id: self._states(task_id) for task_id in self.piece.instances}
        mixed = [task_id for task_id, found in states.items() if len(found) > 1]
        if self._killed or len(mixed) > 1 or (mixed and mixed[0] in self._lists):
            return Tally.of(self.rows())
        one = mixed[0] if mixed else self._first
        made = Tally()
        alike = {task_id: next(iter(found)) for task_id, found in states.items()}
        if one is None or one not in states:
            made.states[self.piece.state(alike)] = self.extent.count
        else:
            for state, number in states[one].items():
                made.states[self.piece.state({**alike, one: state})] += number
        if made.failed:
            self._name_failures(made, one)
        return made

    def rows(self) -> Iterator[Result]:
        """Yield the rows: in the order of the part, of what was not worked on in that of the plan.

        :raises FanInError: if they are not there any more.
        """
        part = self.as_it_is
        if part is None:
            return self._named(self._joined())
        rows = rows_of(part, self._run.read, *self._place, values=self._run.values)
        return self._named(map(self._same, rows))

    def failures(self) -> Iterator[Result]:
        """Yield those alone that failed.

        :raises FanInError: if they are not there any more.
        """
        part = self.as_it_is
        if part is None:
            return self._named(row for row in self._joined() if row["state"] in FAILURES)
        return self._named(map(self._same, failed_rows_of(part, self._run.read, *self._place)))

    def _named(self, rows: Iterator[Result]) -> Iterator[Result]:
        """Say whose rows they are that can't be read."""
        try:
            yield from rows
        except StorageError as error:
            raise FanInError(
                f"The results of {self._make.mapped.name} [{self.piece.index}], {self.extent}, can't be read: {error}"
            ) from error

    @property
    def _place(self) -> tuple[str, str]:
        return self._run.dag_id, self._run.run_id

    def _has_failed(self, task_id: str) -> bool:
        """Tell whether an instance failed for its items: those that another task had failed before are none."""
        states = self._summaries[task_id]["states"]
        return any(states.get(state) for state in (FAILED, NOT_STARTED))

    def _overruled(self, task_id: str) -> bool:
        """Tell whether somebody marked an instance failed after all was well: then so are its items."""
        return self.piece.instances[task_id].state == FAILED and not self._has_failed(task_id)

    def _states(self, task_id: str) -> Counter[str | None]:
        """Return how many items are in which state for a task."""
        instance = self.piece.instances[task_id]
        states: Mapping[str, int] = {}
        if task_id in self._summaries and not self._overruled(task_id):
            states = self._summaries[task_id]["states"]
        elif task_id in self._lists:
            states = Counter(row["state"] for row in self._lists[task_id])
        found: Counter[str | None] = Counter()
        for state, number in states.items():
            if number:
                found[state_alone(instance, state)] += number
        return found or Counter({instance.state: self.extent.count})

    def _name_failures(self, made: Tally, task_id: str | None) -> None:
        """Say what stopped those that failed, as far as that is known without their rows."""
        left = made.failed
        if task_id is not None and task_id in self._summaries and not self._overruled(task_id):
            summary = self._summaries[task_id]
            if sum(summary["states"].get(state, 0) for state in FAILURES) == left:
                errors = Counter(dict(summary["errors"]))
                others = left - errors.total()
                keys = summary["failed"]
                made.add_errors(errors + Counter({OTHERS: others}), keys, len(keys))
                return
        named = f"{self.extent} ([{self.piece.index}])"
        made.add_errors({reason(self._make.row(self.piece, named, named, {}, {})): left}, [named], left)

    def _same(self, row: ItemRow) -> Result:
        value = row["value"] if row["state"] == SUCCESS else None
        made: Result = {
            "key": row["key"],
            "label": row.get("label", row["key"]),
            "map_index": self.piece.index,
            "state": row["state"],
            "try_number": row["tries"],
            "duration_s": row["duration_s"],
            "value": None if value is None else plain(value, self._run.left_out),
            "error": row["error"],
        }
        if self.extent.counted:
            made["item"] = row["item"]
        return made

    def _joined(self) -> Iterator[Result]:
        """Yield the rows where several tasks, or what somebody marked, have a say in them."""
        own = self._first or (self._killed[0] if len(self._killed) == 1 and not self._lists else None)
        others = {task_id: self._by_number(task_id) for task_id in self._make.keys if task_id != own}
        states_known = own is not None and not (own in self._summaries and self._overruled(own))
        for number, key, label, row in self._items(own):
            rows = {task_id: found.get(number) for task_id, found in others.items()}
            if own is not None:
                rows[own] = row if states_known else None
            made = self._make.row(self.piece, key, label, rows, self._found)
            # Told apart from equal ones of the batch, whatever a function of the DAG's author gives now.
            made["key"] = key
            if self.extent.counted:
                made["item"] = number
            made["label"] = plain(made["label"], self._run.left_out)
            made["value"] = plain(made["value"], self._run.left_out)
            yield made

    def _by_number(self, task_id: str) -> dict[int, ItemResult]:
        """Return what a task says of the items, by their numbers. It is the one thing that grows with a batch."""
        if task_id in self._lists:
            return dict(enumerate(self._lists[task_id], self.extent.first))
        if task_id in self._killed:
            return {row["item"]: row for row in self._saved(task_id)}
        if task_id not in self._summaries or task_id not in self.piece.instances or self._overruled(task_id):
            return {}
        values = self._run.values and task_id in self._make.mapped.returned
        part = self._summaries[task_id]
        return {row["item"]: row for row in rows_of(part, self._run.read, *self._place, values=values)}

    def _items(self, task_id: str | None) -> Iterator[tuple[int, str, str, ItemRow | None]]:
        """Yield each item once: number, key, label, and what a task says of it."""
        if task_id is not None and task_id in self._summaries:
            part = self._summaries[task_id]
            for row in rows_of(part, self._run.read, *self._place, values=self._run.values):
                yield row["item"], row["key"], row.get("label", row["key"]), row
            return
        seen = bytearray(self.extent.count)
        for row in self._saved(task_id) if task_id is not None else ():
            seen[row["item"] - self.extent.first] = 1
            yield row["item"], row["key"], row.get("label", row["key"]), row
        for number, key, label in named_items(
            self._make, self._run, self._arguments, self.extent, self.piece.index
        ):
            if not seen[number - self.extent.first]:
                yield number, key, label, None

    def _saved(self, task_id: str) -> Iterator[ItemRow]:
        """Yield what a killed instance had saved of the batch that it has now."""
        first, count = self.extent.first, self.extent.count
        saved = left_by(
            self._run.read,
            self._make.declared[task_id],
            run_id=self._run.run_id,
            map_index=self.piece.index,
            max_tries=self.piece.instances[task_id].max_tries,
        )
        return (row for row in saved if first <= row["item"] < first + count)
