"""Over how many batches few items are spread that run again: then a run of its own takes fewer instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.undone import Undone, maker_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.plans.mapped import Mapped

# What starts so many times fewer instances is worth a run of its own.
_TIMES = 2


def said_of_spread(targets: Iterable[Mapped], run_id: str, cleared: Iterable[Any]) -> list[str]:
    """Return a sentence a task of which few items are spread over many batches.

    :param cleared: the instances of pieces that would be cleared.
    """
    counted: dict[str, int] = {}
    for one in cleared:
        counted[one.task_id] = counted.get(one.task_id, 0) + 1
    said = []
    for mapped in targets:
        maker, instances = maker_of(mapped), max(counted.get(task_id, 0) for task_id in mapped.task_ids)
        if maker is None or instances < _TIMES:
            continue
        try:
            undone = Undone(maker, [mapped], run_id, lambda _: tables)
            items, size = undone.count, undone.size
        except MappingKitError:
            # What its items are is not known any more: then it is cleared as it is.
            continue
        fewer = -(-items // size)
        if items and fewer * _TIMES <= instances:
            said.append(
                f"{items:,} items of {mapped.name} are spread over {instances:,} batches, and each is an instance. "
                f"With --repacked a new run works on them in {fewer:,}, of {size:,} items at most."
            )
    return said
