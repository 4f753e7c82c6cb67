"""Clearing in the metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of
from airflow_mapping_kit.cli.pieces import failed_pieces
from airflow_mapping_kit.cli.status import told_of
from airflow_mapping_kit.pieces import checkpoints
from airflow_mapping_kit.pieces.batches import batched
from airflow_mapping_kit.pieces.redrive import clear, redrive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.pieces.mapped import Mapped


def retried(request: Request) -> None:
    """Clear what failed of a run, and what follows it."""
    need_database()
    dag = declared_dag(request.dag_id)
    run = run_of(request.dag_id, request.run_id)
    targets, indexes = mapped_of(dag, request.task_id), None
    if request.keys:
        indexes = _indexes(targets, run, request.keys)
        targets = [target for target in targets if target.name in indexes]
    wanted = redrive(targets, run.run_id, run_state=run.state, indexes=indexes)
    tasks = dict.fromkeys(one.task_id for one in wanted.pieces if one.map_index >= 0)
    declared = [dag.get_task(task_id) for task_id in tasks]
    request.carry_out(
        run.run_id,
        run.state,
        wanted,
        notes=[_items(one, fresh=request.fresh) for one in declared if batched(one) is not None],
        clear=lambda: clear(dag, run.run_id, wanted, fresh=request.fresh),
    )


def _indexes(targets: Sequence[Mapped], run: Run, keys: Sequence[str]) -> dict[str, set[int]]:
    """Return the map indexes that some keys or labels stand for, by the name of the mapped task."""
    found: dict[str, set[int]] = {}
    for task, row in failed_pieces([told_of(target, run) for target in targets], keys, run.state):
        found.setdefault(task, set()).add(row["map_index"])
    return found


def _items(declared: Any, *, fresh: bool) -> str:
    """Return which items of batches run again."""
    name = declared.task_id
    if fresh:
        return f"Of these batches of {name} all items run again, those that are done too (--fresh)."
    if not checkpoints.outlive_tries(declared):
        return f"Of these batches of {name} all items run again: nothing keeps what is done of them."
    return f"Of these batches of {name} only the items that are not done run again."
