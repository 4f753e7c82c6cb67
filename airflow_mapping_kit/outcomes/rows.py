"""The row of an item of a batch, as if the item had been an instance of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.plans.batches import RETURN_VALUE, batched, items_key_of
from airflow_mapping_kit.plans.early_labels import fixed_arguments
from airflow_mapping_kit.plans.planned import calls_functions
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.outcomes.piece import Piece
    from airflow_mapping_kit.plans.batches import Item
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance
    from airflow_mapping_kit.results import Error, ItemResult, Result

# What tells equal keys of a batch apart.
_NUMBER = re.compile(r"#\d+\Z")


class RowsOfItems:
    """Makes the rows of the items that a mapped task or group has in its batches.

    :param mapped: what is collected.
    """

    def __init__(self, mapped: Mapped) -> None:
        self.mapped = mapped
        self.declared = {task_id: mapped.dag.get_task(task_id) for task_id in mapped.task_ids}
        main = self.declared[mapped.main]
        self.how = batched(main)
        self._label = labels.format_of(getattr(main, "map_index_template", None))
        self._fixed = fixed_arguments(main)
        # Of the tasks of a group those count that say of each item what became of it.
        keys = {task_id: items_key_of(one) for task_id, one in self.declared.items() if batched(one)}
        self.keys = keys if self.how else {}
        self.by_function = calls_functions(mapped.expand_input.value)

    def label(self, item: Item, arguments: Mapping[str, Any]) -> str:
        """Return what an item is called.

        :param arguments: what its piece was mapped over.
        """
        if not self._label or not self.how or item.state != SUCCESS:
            return item.key
        return labels.render(
            self._label,
            self.how.arguments(arguments, item.value),
            self._fixed,
            key=item.key,
            final=False,
            hidden=hidden_names(),
        )

    def row(
        self,
        piece: Piece,
        key: str,
        label: str,
        rows: Mapping[str, ItemResult | None],
        found: Mapping[tuple[str, str], Mapping[int, Any]],
    ) -> Result:
        """Return the row of an item.

        :param rows: what the tasks of its piece say of it, `None` where one says nothing.
        :param found: what the tasks pushed, as `tables.xcoms` gives it.
        """
        instances = {task_id: as_if_alone(one, rows.get(task_id)) for task_id, one in piece.instances.items()}
        errors: dict[str, Error | None] = {}
        for task_id in piece.instances:
            row = rows.get(task_id)
            errors[task_id] = piece.error(task_id) if row is None else row["error"]

        def value(task_id: str) -> Any:
            if task_id not in self.keys:
                return found.get((task_id, RETURN_VALUE), {}).get(piece.index)
            row = rows.get(task_id)
            return None if row is None else row["value"]

        main = rows.get(self.mapped.main)
        if self.by_function and main is not None:
            # What the function gave when the batch was worked on, whatever it gives now.
            key = label = _NUMBER.sub("", main["key"])
        return piece.row(key, label, self.mapped.value(value), instances, errors)


def as_if_alone(instance: Instance, row: ItemResult | None) -> Instance:
    """Return the instance that an item would have had: in the state of its batch, if nothing else is known."""
    if row is None:
        return instance
    state = state_alone(instance, row["state"])
    return replace(instance, state=state, try_number=row["tries"], duration=row["duration_s"])


def state_alone(instance: Instance, state: str) -> str | None:
    """Return the state of an item, of which its instance left another or the same."""
    if instance.state == SUCCESS and state in {FAILED, NOT_STARTED}:
        return SUCCESS  # somebody marked the batch so afterwards
    return state if instance.state in {SUCCESS, FAILED} else instance.state
