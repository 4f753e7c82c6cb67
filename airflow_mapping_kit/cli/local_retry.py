"""Clearing in the metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.cli.actor import actor
from airflow_mapping_kit.cli.clearing import Found
from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of
from airflow_mapping_kit.cli.meant import failed_pieces
from airflow_mapping_kit.cli.status import told_of
from airflow_mapping_kit.redrive.batches import about_batches
from airflow_mapping_kit.redrive.clearing import clear
from airflow_mapping_kit.redrive.spread import said_of_spread
from airflow_mapping_kit.redrive.wanted import redrive
from airflow_mapping_kit.results import FINISHED_RUN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.clearing import Request
    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.redrive.wanted import Cleared, Redrive


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
        notes = about_batches(dag, {run.run_id: wanted}, fresh=request.fresh)
        if not (request.keys or request.fresh) and now.state in FINISHED_RUN:
            notes += said_of_spread(targets, run.run_id, wanted.pieces)
        return Found(run.run_id, now.state, wanted, notes)

    def cleared(wanted: Redrive) -> Sequence[Cleared]:
        return clear(
            dag, {run.run_id: wanted}, actor=actor("cli_mapping_kit_retry"), fresh=request.fresh
        ).get(run.run_id, ())

    request.carry_out(
        found(run),
        again=lambda: found(run_of(request.dag_id, run.run_id)),
        clear=cleared,
    )


def _indexes(targets: Sequence[Mapped], run: Run, keys: Sequence[str]) -> dict[str, set[int]]:
    """Return the map indexes that some keys or labels stand for, by the name of the mapped task."""
    found: dict[str, set[int]] = {}
    for task, index in failed_pieces([told_of(target, run) for target in targets], keys, run.state):
        found.setdefault(task, set()).add(index)
    return found
