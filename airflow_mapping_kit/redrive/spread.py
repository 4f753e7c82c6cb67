"""How many items run again in how many batches: where few are spread over many, a run of its own takes fewer."""

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
    """Return a sentence a task that works on batches: how many of its items run again, and in how many instances.

    :param cleared: the instances of pieces that would be cleared.
    """
    counted: dict[str, int] = {}
    for one in cleared:
        counted[one.task_id] = counted.get(one.task_id, 0) + 1
    said = []
    for mapped in targets:
        maker, instances = maker_of(mapped), max(counted.get(task_id, 0) for task_id in mapped.task_ids)
        if maker is None or not instances:
            continue
        try:
            undone = Undone(maker, [mapped], run_id, lambda _: tables)
            items, size = undone.count, undone.size
        except MappingKitError:
            # What its items are is not known any more: then it is cleared as it is.
            continue
        if not items:
            continue
        fewer = -(-items // size)
        one = f"{items:,} item{'' if items == 1 else 's'} of {mapped.name}"
        in_batches = f"{instances:,} batch{'' if instances == 1 else 'es'}"
        if fewer * _TIMES > instances:
            said.append(f"{one} run{'s' if items == 1 else ''} again, in {in_batches}.")
        else:
            said.append(
                f"{one} are spread over {in_batches}, and each is an instance. With --repacked a new run works on "
                f"them in {fewer:,}, of {size:,} items at most."
            )
    return said
