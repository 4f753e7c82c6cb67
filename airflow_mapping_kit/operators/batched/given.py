"""The batch that an instance is given: a list, a slice of a plan, or the part of the batched task before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.checkpoints.part import Span
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.pieces import Distinct
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.early_labels import fixed_arguments
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading import of_task
from airflow_mapping_kit.results import SUCCESS, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_mapping_kit.plans.batches import Batched, Item
    from airflow_mapping_kit.results import PartSummary


class Given:
    """The items of one batch, as often as they are asked for, and none in memory but of a list.

    :param value: what the parameter is that takes an item.
    :param how: how the task gets its batches.
    :param declared: its operator, as the DAG keeps it.
    :param mapped: what the instance was mapped over.
    :param check: raises where items have not the fields that their keys are made of, `None` where none are said.
    """

    def __init__(
        self,
        value: Any,
        instance: Any,
        how: Batched,
        declared: Any,
        mapped: Mapping[str, Any],
        check: Callable[..., None] | None,
    ) -> None:
        self._value = value
        self._instance = instance
        self._how = how
        self._mapped = mapped
        self._check = check
        self._label = labels.format_of(getattr(declared, "map_index_template", None))
        self._fixed = fixed_arguments(declared)
        self._slice = Slice.of(value)
        self._part: PartSummary | None = part_of(value)
        self.by_reference = self._slice is not None or self._part is not None
        if self._slice is not None:
            self.span = Span(self._slice.first, self._slice.count, self._slice.total)
        elif self._part is not None:
            self.span = Span(self._part["first"], self._part["count"], self._part["total"])
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            self.span = Span(0, len(value), len(value))
            if check is not None:
                check(value)
        else:
            raise PlanError(
                f"{declared.task_id} got {shown(value)} as its batch, which is no list: map it over batches, "
                f"{declared.task_id}.expand({how.parameter}=batches(..., batch_size=50))."
            )

    def __iter__(self) -> Iterator[tuple[int, Item, str | None]]:
        """Yield every item with its number in the plan before it, its key told apart from equal ones of its batch.

        After it comes what it is called, where that is not its key.

        :raises StorageError: if what the batch refers to is not there any more, or has changed.
        """
        name, make = Distinct(), self._how.maker(self._mapped)
        check = self._check if self._slice is not None else None
        named = self._part is not None and self._how.chained
        for number, value in self._values():
            if check is not None:
                check([value], called=f"item {number:,} of the plan")
            item = make(value)
            label = self._label_of(item)
            # Those that another batched task has named keep their names, in whichever order they come.
            key = value["key"] if named else name(item.key)
            yield number, item if key == item.key else item._replace(key=key), label

    def keyed(self) -> Iterator[tuple[int, str]]:
        """Yield the numbers and the keys of all items."""
        return ((number, item.key) for number, item, _ in self)

    def _values(self) -> Iterator[tuple[int, Any]]:
        one = self._instance
        if self._slice is not None:
            from airflow_mapping_kit.plans.held import items_of

            return items_of(self._slice, of_task(one), one.dag_id, one.run_id)
        if self._part is not None:
            from airflow_mapping_kit.checkpoints.parts import rows_of

            rows = rows_of(self._part, of_task(one), one.dag_id, one.run_id)
            return ((row["item"], row) for row in rows)
        return enumerate(self._value)

    def _label_of(self, item: Item) -> str | None:
        if self._label is None or item.state != SUCCESS:
            return None
        if not self._label and len(item.key) <= labels.MAX_LABEL_LENGTH and item.key.isprintable():
            return None
        arguments = self._how.arguments(self._mapped, item.value)
        label = labels.render(
            self._label, arguments, self._fixed, key=item.key, final=False, hidden=hidden_names()
        )
        return None if label == item.key else label
