"""What became of every item of a batch, as if each had been an instance of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.parts import left_by
from airflow_mapping_kit.outcomes.named import Extent, Run
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.outcomes.rows import RowsOfItems
from airflow_mapping_kit.outcomes.shares import Held
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.batches import RETURN_VALUE
from airflow_mapping_kit.results import FAILED, NOT_STARTED, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.outcomes.piece import Piece
    from airflow_mapping_kit.outcomes.shares import Share
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Reading
    from airflow_mapping_kit.results import ItemResult, PartSummary


class Items:
    """The items that a mapped task or group has in its batches, if it has any.

    :param mapped: what is collected.
    :param run_id: its run.
    :param read: how the run is read.
    :param values: whether what the items returned is wanted.
    :param left_out: gets the types of values that have no form in plain JSON.
    """

    def __init__(
        self, mapped: Mapped, run_id: str, read: Reading, *, values: bool, left_out: set[str]
    ) -> None:
        self._make = RowsOfItems(mapped)
        self._run = Run(read, mapped.dag.dag_id, run_id, values, left_out)

    @property
    def xcoms(self) -> set[tuple[str, str]]:
        """The XComs that the results of items are in, as task id and key."""
        return {(task_id, key) for task_id, key in self._make.keys.items() if key is not None}

    def share(
        self, piece: Piece, arguments: Mapping[str, Any], found: Mapping[tuple[str, str], Mapping[int, Any]]
    ) -> Share | None:
        """Return what became of the items of a piece, `None` if it is no batch.

        :param arguments: what the piece was mapped over.
        :param found: what the tasks pushed, as `tables.xcoms` gives it.
        """
        how = self._make.how
        if how is None:
            return None
        pushed = {
            task_id: found[task_id, key or RETURN_VALUE].get(piece.index)
            for task_id, key in self._make.keys.items()
            if task_id in piece.instances
        }
        summaries = {task_id: part for task_id, one in pushed.items() if (part := part_of(one)) is not None}
        extent = self._extent(arguments, summaries)
        if extent is not None:
            lists = {task_id: one for task_id, one in pushed.items() if isinstance(one, list)}
            return Part(self._make, self._run, piece, arguments, extent, summaries, lists, found)
        batch = how.batch(arguments)
        if not batch:
            return None
        items = how.items(arguments, batch)
        keys = distinct(item.key for item in items)
        by_task = {
            task_id: self._by_key(task_id, piece, keys, pushed.get(task_id)) for task_id in self._make.keys
        }
        return Held(
            [
                self._make.row(
                    piece,
                    item.key,
                    self._make.label(item, arguments),
                    {task_id: rows.get(key) for task_id, rows in by_task.items()},
                    found,
                )
                for item, key in zip(items, keys, strict=True)
            ]
        )

    def _extent(self, arguments: Mapping[str, Any], summaries: Mapping[str, PartSummary]) -> Extent | None:
        """Return which items of the plan a batch has, where it is elsewhere, or its results are."""
        how = self._make.how
        if how is None:
            return None
        one, part, batch = how.slice(arguments), how.part(arguments), how.batch(arguments)
        if one is not None:
            return Extent(one.first, one.count, one.total, counted=True)
        if part is not None:
            counted = part["total"] > part["count"]
            return Extent(part["first"], part["count"], part["total"], counted)
        summary = next(iter(summaries.values()), None)
        if not batch or summary is None:
            return None
        return Extent(summary["first"], len(batch), summary["total"], counted=False)

    def _by_key(self, task_id: str, piece: Piece, keys: list[str], pushed: Any) -> dict[str, ItemResult]:
        """Return what a task's instance says of its items; of one that was killed, what it had saved."""
        instance = piece.instances.get(task_id)
        if instance is None:
            return {}
        if isinstance(pushed, list) and len(pushed) == len(keys):
            all_well = all(row["state"] not in {FAILED, NOT_STARTED} for row in pushed)
            # Somebody marked it failed afterwards: then so are its items.
            return {} if instance.state == FAILED and all_well else dict(zip(keys, pushed, strict=True))
        if instance.state != FAILED:
            return {}
        saved = left_by(
            self._run.read,
            self._make.declared[task_id],
            run_id=self._run.run_id,
            map_index=piece.index,
            max_tries=instance.max_tries,
        )
        return {row["key"]: row for row in saved}
