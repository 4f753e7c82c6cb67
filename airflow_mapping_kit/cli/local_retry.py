"""Clearing in the metadata database."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.checkpoint import outlive_tries
from airflow_mapping_kit.cli.clearing import Found
from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of
from airflow_mapping_kit.cli.pieces import failed_pieces
from airflow_mapping_kit.cli.status import told_of
from airflow_mapping_kit.compat import expand_input_of
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.batches import batched
from airflow_mapping_kit.plans.planned import Plan, calls_functions, sources
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.clearing import Actor, clear
from airflow_mapping_kit.redrive.wanted import redrive

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.redrive.wanted import Redrive

_MAX_COMMAND = 4_000


def retried(request: Request) -> None:
    """Clear what failed of a run, and what follows it."""
    need_database()
    dag = declared_dag(request.dag_id)
    run = run_of(request.dag_id, request.run_id)
    targets, indexes = mapped_of(dag, request.task_id), None
    if request.keys:
        indexes = _indexes(targets, run, request.keys)
        targets = [target for target in targets if target.name in indexes]

    def found(now: Run) -> Found:
        wanted = redrive(targets, run.run_id, run_state=now.state, indexes=indexes)
        return Found(run.run_id, now.state, wanted, _notes(dag, run.run_id, wanted, fresh=request.fresh))

    request.carry_out(
        found(run),
        again=lambda: found(run_of(request.dag_id, run.run_id)),
        clear=lambda wanted: clear(dag, run.run_id, wanted, actor=_actor(), fresh=request.fresh),
    )


def _actor() -> Actor:
    """Return who runs this command, and how, as Airflow's own commands tell it."""
    try:
        owner = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may be a mere number.
        owner = str(os.getuid())
    extra = {"host_name": socket.gethostname(), "full_command": str(sys.argv)[:_MAX_COMMAND]}
    return Actor("cli_mapping_kit_retry", owner, extra)


def _indexes(targets: Sequence[Mapped], run: Run, keys: Sequence[str]) -> dict[str, set[int]]:
    """Return the map indexes that some keys or labels stand for, by the name of the mapped task."""
    found: dict[str, set[int]] = {}
    for task, row in failed_pieces([told_of(target, run) for target in targets], keys, run.state):
        found.setdefault(task, set()).add(row["map_index"])
    return found


def _notes(dag: Any, run_id: str, wanted: Redrive, *, fresh: bool) -> list[str]:
    """Return which items run again of the pieces that are batches."""
    indexes: dict[str, set[int]] = {}
    for one in wanted.pieces:
        if one.map_index >= 0:
            indexes.setdefault(one.task_id, set()).add(one.map_index)
    return [
        _items(dag.get_task(task_id), fresh=fresh)
        for task_id, its in indexes.items()
        if _holds_batches(dag.get_task(task_id), run_id, its)
    ]


def _holds_batches(declared: Any, run_id: str, indexes: Collection[int]) -> bool:
    """Tell whether any of some pieces is a batch: a task may be mapped over batches, or over single partitions."""
    how, expand_input = batched(declared), expand_input_of(declared)
    # Functions of the DAG's author are not called to say a word of batches.
    if how is None or expand_input is None or calls_functions(expand_input.value):
        return False
    try:
        plan = Plan(expand_input, tables.pushed(declared.dag.dag_id, run_id, sources(expand_input)).get)
    except PlanError:
        # The generator failed, or its XCom was deleted: then these pieces may be anything.
        return False
    return any(how.batch(plan[index]) is not None for index in indexes if index < len(plan))


def _items(declared: Any, *, fresh: bool) -> str:
    """Return which items of batches run again."""
    name = declared.task_id
    if fresh:
        return f"Of these batches of {name} all items run again, those that are done too (--fresh)."
    if not outlive_tries(declared):
        return f"Of these batches of {name} all items run again: nothing keeps what is done of them."
    return f"Of these batches of {name} only the items that are not done run again."
