"""Partitions from the metadata database, and loading them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.actor import actor
from airflow_mapping_kit.cli.lookup import LATEST, declared_dag, need_database, quiet, run_of
from airflow_mapping_kit.cli.seen import ChangedMeanwhile, Done, Seen, Tried, Wrong, said_of_unread
from airflow_mapping_kit.compat import dag_rows, newest_dag, own_session
from airflow_mapping_kit.exceptions import ChangedError
from airflow_mapping_kit.history import history
from airflow_mapping_kit.redrive.carry_out import carry_out
from airflow_mapping_kit.redrive.preview import preview

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.history import History

EVENT = "cli_mapping_kit_partitions"


class Database:
    """The partitions of a DAG as its runs have left them in the metadata database.

    :raises PlanError: if the DAG has none, or there is no such run.
    """

    def __init__(self, dag_id: str, task_id: str | None, run_id: str | None, limit: int) -> None:
        need_database()
        dag, notes = _stored(dag_id)
        if run_id == LATEST:
            run_id = run_of(dag_id, LATEST).run_id
        self._dag_id, self._asked = dag_id, (task_id, run_id, limit)
        self._found = found = history(dag, *self._asked)

        def tried(cell: int) -> Tried | None:
            one = found.attempt(cell)
            if one is None:
                return None
            return Tried(one.run.id, one.map_index, one.task_id, one.try_number, one.seconds)

        self.seen = Seen(
            dag_id,
            found.target.name,
            found.run_id,
            found.dimensions,
            found.letters.decode(),
            [Wrong(one.type, one.message, one.cells) for one in found.errors],
            [*notes, *found.notes, *said_of_unread((run.id, run.unread) for run in found.runs)],
            tried,
        )

    def preview(self, what: str, cells: Sequence[int]) -> dict[str, Any]:
        """Return what would be cleared and started for some cells."""
        return preview(self._found, what, cells).as_json()

    def carry_out(self, what: str, cells: Sequence[int], digest: str) -> Done:
        """Do what a preview of that digest shows, if that is what would be done now."""
        # An answer takes its time, and a colleague may have been faster.
        now = history(_stored(self._dag_id)[0], *self._asked)
        shown = preview(now, what, _there(now, map(self._found.values, cells)))
        try:
            with quiet():
                done = carry_out(shown, actor(EVENT), digest=digest)
        except ChangedError:
            raise ChangedMeanwhile(shown.as_json()) from None
        return Done(done.instances, done.started)


def _there(found: History, partitions: Iterable[list[str]]) -> list[int]:
    """Return the cells of some partitions, of those that are there."""
    cells = []
    for values in partitions:
        with suppress(KeyError):
            cells.append(found.cell(values))
    return cells


def _stored(dag_id: str) -> tuple[Any, list[str]]:
    """Return a DAG as Airflow has stored it, and what is to be said of that.

    So partitions are shown though the DAG's file is gone or can't be imported. A DAG that isn't stored is read from
    its file.
    """
    with own_session() as session:
        rows, dag = dag_rows([dag_id], session), newest_dag(dag_id, session)
    if dag is None or not rows:
        return declared_dag(dag_id), []
    if rows[0].gone:
        return dag, ["The file of this DAG has it no more: this is what its runs have left."]
    if rows[0].broken:
        return dag, ["The file of this DAG can't be imported now: this is the DAG as it was before."]
    return dag, []
