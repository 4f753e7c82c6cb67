"""What instances had saved of their batches before they were killed: of many runs at once, without the values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.rows import row_of
from airflow_mapping_kit.checkpoints.xcoms import place_of
from airflow_mapping_kit.compat import AIRFLOW_3, has_state_store
from airflow_mapping_kit.history import outputs
from airflow_mapping_kit.history.plans import values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target

_PREFIX = "mapping_kit"
# Run id and map index.
Place = tuple[str, int]


def saved(tables: Tables, target: Target, killed: Mapping[Place, int]) -> dict[Place, list[dict[str, Any]]]:
    """Return the results that were saved, by run and map index: in one query.

    :param killed: how many tries each instance has: what was saved before somebody cleared it does not count.
    """
    if not killed:
        return {}
    run_ids = {run_id for run_id, _ in killed}
    if AIRFLOW_3:
        return _of_store(tables, target, run_ids, killed) if has_state_store() else {}
    declared = [target.mapped.dag.get_task(task_id) for task_id in target.task_ids]
    places = [place_of(one, run_id="", map_index=0, max_tries=0) for one in declared]
    found: dict[Place, list[dict[str, Any]]] = {}
    rows = outputs.checkpoints(
        tables, run_ids, [(one.anchor, f"{_PREFIX}/{one.task_id}/") for one in places if one]
    )
    for row, results in zip(rows, values(rows), strict=True):
        # Neither ids of tasks nor numbers have a slash.
        _, _, index, max_tries, _ = row.key.split("/")
        place = row.run_id, int(index)
        if killed.get(place) == int(max_tries):
            found.setdefault(place, []).extend(_results(results))
    return found


def _of_store(
    tables: Tables, target: Target, run_ids: Collection[str], killed: Mapping[Place, int]
) -> dict[Place, list[dict[str, Any]]]:
    chunks: dict[tuple[str, str, int], list[Any]] = {}
    counted: dict[tuple[str, str, int], Any] = {}
    for row in outputs.stored(tables, run_ids, target.task_ids, {index for _, index in killed}, _PREFIX):
        place = row.run_id, row.task_id, row.map_index
        value = json.loads(row.value)
        if row.key == _PREFIX:
            counted[place] = value.get("max_tries") if isinstance(value, dict) else None
        else:
            chunks.setdefault(place, []).append(value)
    found: dict[Place, list[dict[str, Any]]] = {}
    for (run_id, task_id, index), parts in chunks.items():
        # Without a number it counts for whichever the instance has.
        tries = counted.get((run_id, task_id, index), -1)
        if killed.get((run_id, index), -1) == tries or tries is None:
            for part in parts:
                found.setdefault((run_id, index), []).extend(_results(part))
    return found


def _results(chunk: Any) -> list[dict[str, Any]]:
    """Return the results of a chunk. What their values are is nobody's business here, so no object is made of them."""
    if not isinstance(chunk, str) or not chunk.startswith("{"):
        return []
    return [{**row_of(line, values=False)} for line in chunk.split("\n")]
