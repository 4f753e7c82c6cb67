"""What became of every item of a batch, as if each had been an instance of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.checkpoints.parts import left_by
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.batches import RETURN_VALUE, batched, items_key_of
from airflow_mapping_kit.plans.early_labels import fixed_arguments
from airflow_mapping_kit.plans.planned import calls_functions
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.outcomes.piece import Piece
    from airflow_mapping_kit.plans.batches import Item
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance, Reading
    from airflow_mapping_kit.results import Error, ItemResult, Result

# What tells equal keys of a batch apart.
_NUMBER = re.compile(r"#\d+\Z")


class Items:
    """The items that a mapped task or group has in its batches, if it has any.

    :param mapped: what is collected.
    :param run_id: its run.
    :param read: how the run is read.
    """

    def __init__(self, mapped: Mapped, run_id: str, read: Reading) -> None:
        self._read = read
        self._run_id = run_id
        self._mapped = mapped
        self._declared = {task_id: mapped.dag.get_task(task_id) for task_id in mapped.task_ids}
        main = self._declared[mapped.main]
        self._how = batched(main)
        self._label = labels.format_of(getattr(main, "map_index_template", None))
        self._fixed = fixed_arguments(main)
        # Of the tasks of a group those count that say of each item what became of it.
        keys = {task_id: items_key_of(one) for task_id, one in self._declared.items() if batched(one)}
        self._keys = keys if self._how else {}
        self._by_function = calls_functions(mapped.expand_input.value)

    @property
    def xcoms(self) -> set[tuple[str, str]]:
        """The XComs that the results of items are in, as task id and key."""
        return {(task_id, key) for task_id, key in self._keys.items() if key is not None}

    def results(
        self, piece: Piece, arguments: Mapping[str, Any], found: Mapping[tuple[str, str], dict[int, Any]]
    ) -> list[Result] | None:
        """Return a row an item of a piece, `None` if it is no batch.

        :param arguments: what the piece was mapped over.
        :param found: what the tasks pushed, as `tables.xcoms` gives it.
        """
        batch = None if self._how is None else self._how.batch(arguments)
        if self._how is None or not batch:
            return None
        items = self._how.items(arguments, batch)
        keys = distinct(item.key for item in items)
        by_task = {task_id: self._by_key(task_id, piece, keys, found) for task_id in self._keys}
        return [
            self._row(
                piece, item, arguments, {task_id: rows.get(key) for task_id, rows in by_task.items()}, found
            )
            for item, key in zip(items, keys, strict=True)
        ]

    def _by_key(
        self,
        task_id: str,
        piece: Piece,
        keys: list[str],
        found: Mapping[tuple[str, str], dict[int, Any]],
    ) -> dict[str, ItemResult]:
        """Return what a task's instance says of its items; of one that was killed, what it had saved."""
        instance = piece.instances.get(task_id)
        if instance is None:
            return {}
        pushed = found[task_id, self._keys[task_id] or RETURN_VALUE].get(piece.index)
        if isinstance(pushed, list) and len(pushed) == len(keys):
            all_well = all(row["state"] not in {FAILED, NOT_STARTED} for row in pushed)
            # Somebody marked it failed afterwards: then so are its items.
            return {} if instance.state == FAILED and all_well else dict(zip(keys, pushed, strict=True))
        if instance.state != FAILED:
            return {}
        saved = left_by(
            self._read,
            self._declared[task_id],
            run_id=self._run_id,
            map_index=piece.index,
            max_tries=instance.max_tries,
        )
        return {row["key"]: row for row in saved}

    def _row(
        self,
        piece: Piece,
        item: Item,
        arguments: Mapping[str, Any],
        rows: Mapping[str, ItemResult | None],
        found: Mapping[tuple[str, str], dict[int, Any]],
    ) -> Result:
        instances = {
            task_id: _as_if_alone(one, rows.get(task_id)) for task_id, one in piece.instances.items()
        }
        errors: dict[str, Error | None] = {}
        for task_id in piece.instances:
            row = rows.get(task_id)
            errors[task_id] = piece.error(task_id) if row is None else row["error"]

        def value(task_id: str) -> Any:
            if task_id not in self._keys:
                return found.get((task_id, RETURN_VALUE), {}).get(piece.index)
            row = rows.get(task_id)
            return None if row is None else row["value"]

        main = rows.get(self._mapped.main)
        if self._by_function and main is not None:
            # What the function gave when the batch was worked on, whatever it gives now.
            key = label = _NUMBER.sub("", main["key"])
            return piece.row(key, label, self._mapped.value(value), instances, errors)
        label = item.key
        if self._label and self._how and item.state == SUCCESS:
            mapped = self._how.arguments(arguments, item.value)
            label = labels.render(
                self._label, mapped, self._fixed, key=item.key, final=False, hidden=hidden_names()
            )
        return piece.row(item.key, label, self._mapped.value(value), instances, errors)


def _as_if_alone(instance: Instance, row: ItemResult | None) -> Instance:
    """Return the instance that an item would have had: in the state of its batch, if nothing else is known."""
    if row is None:
        return instance
    state: str | None = row["state"]
    if instance.state == SUCCESS and state in {FAILED, NOT_STARTED}:
        state = SUCCESS  # somebody marked the batch so afterwards
    elif instance.state not in {SUCCESS, FAILED}:
        state = instance.state
    return replace(instance, state=state, try_number=row["tries"], duration=row["duration_s"])
