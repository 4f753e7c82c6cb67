"""Publish what many instances staged into an Iceberg table as one snapshot."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, ValidationException

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.careful import CarefulIO
from airflow_mapping_kit.tables.iceberg.catalog import asking, catalog_of, table_of
from airflow_mapping_kit.tables.iceberg.commit import held_files, replace
from airflow_mapping_kit.tables.iceberg.held import Wanted
from airflow_mapping_kit.tables.iceberg.history import History
from airflow_mapping_kit.tables.iceberg.leftovers import remove_leftovers
from airflow_mapping_kit.tables.iceberg.look import check_unchanged
from airflow_mapping_kit.tables.iceberg.new_files import NewFiles
from airflow_mapping_kit.tables.iceberg.values import dimensions_of
from airflow_mapping_kit.tables.staged import files_of, marker, prefix, with_files
from airflow_mapping_kit.tables.told import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot

    from airflow_mapping_kit.tables.described import Table
    from airflow_mapping_kit.tables.formats import Published
    from airflow_mapping_kit.tables.iceberg.values import Dimension
    from airflow_mapping_kit.tables.staged import Staged

log = logging.getLogger(__name__)
# The sixth try waits three seconds, all later ones at most ten.
_TRIES = 20
_LONGEST_WAIT = 10.0


def publish(table: Table, pieces: Sequence[Staged], run: str) -> Published:
    """Replace exactly these partitions by what was staged for them, in one snapshot; the others stay as they are.

    What this run has published before is left alone, also if somebody has replaced it since. A commit of somebody
    else in between is planned for anew; of two that replace the same partition the later one wins.

    :param table: as `look` returned it
    :param pieces: what instances staged
    :param run: of which task, see `run_of`
    :raises TargetError: naming the partition, if a staged file isn't there or doesn't fit the table, or the file that
        holds rows of these partitions and of others
    :raises AirflowException: if others committed all the time, or the catalog can't be reached
    """
    with asking(str(table["conn_id"]), f"publish to {table['name']}"):
        return _Publisher(table, pieces, run).published()


class _Publisher:
    def __init__(self, table: Table, pieces: Sequence[Staged], run: str) -> None:
        self._described: Any = table
        self._name, self._branch = table["name"], self._described.get("branch")
        self._pieces, self._marker = pieces, marker(run, pieces)
        self._folder = self._uri(prefix(table, run))
        self._catalog = catalog_of(str(table["conn_id"]))
        self._made: dict[str, DataFile] = {}
        self._emptied = [digest(piece) for piece in pieces if not piece["path"]]

    def published(self) -> Published:
        refused: CarefulIO | None = None
        conflict: Exception | None = None
        for attempt in range(_TRIES + 1):
            table = table_of(self._catalog, self._name)
            history = History(table, self._branch)
            # Also after a commit: that it is there isn't believed before the table says so.
            snapshot = history.marked(self._marker)
            if snapshot is not None:
                return self._told(table, history, snapshot)
            if refused is not None:
                refused.delete_what_waits()
            if attempt < _TRIES:
                refused, conflict = self._tried(table, history, attempt)
        raise AirflowException(
            f"{self._name}: none of {_TRIES} commits went through, because others committed to the table in between. "
            f"Nothing is published, and what is staged stays: run this task again when less is written to the table"
        ) from conflict

    def _tried(
        self, table: IcebergTable, history: History, attempt: int
    ) -> tuple[CarefulIO, Exception | None]:
        """Try to commit; return the storage with what to delete if that was refused, and why it was."""
        if attempt:
            # Two that wait alike would meet again.
            time.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.1 * 2**attempt)))  # noqa: S311  no secret
        old, new = self._changes(table, history)
        careful = CarefulIO(table.io)
        table.io = careful
        try:
            replace(table, self._branch, self._marker, old, new, self._emptied)
        except (CommitFailedException, CommitStateUnknownException, ValidationException) as error:
            log.warning(
                "%s: try %d was not taken, the next one plans anew: %s", self._name, attempt + 1, error
            )
            return careful, error
        # Old metadata, where the table says that they go.
        careful.delete_what_waits()
        return careful, None

    def _changes(self, table: IcebergTable, history: History) -> tuple[list[DataFile], list[DataFile]]:
        """Return which files leave the table and which come into it."""
        check_unchanged(table, self._described)
        staged = self._staged()
        # What was replaced since, by a later run or by hand, is newer than these.
        done, emptied = history.published(self._marker), history.emptied(self._marker)
        pieces = [
            piece
            for piece in self._pieces
            if not any(self._uri(one["path"]) in done for one in files_of(piece))
            and digest(piece) not in emptied
        ]
        dimensions = dimensions_of(self._described, table.schema(), self._pieces[0]["partition"])
        values = _values(dimensions, pieces)
        live = {
            one.file_path: one
            for one in held_files(table, history.newest, Wanted(dimensions, values), self._name)
        }
        # A path that is removed and added again would be deleted when the snapshots in between expire.
        fresh = {
            uri: (value, piece, one["rows"])
            for value, piece in values.items()
            for one in files_of(piece)
            if (uri := self._uri(one["path"])) not in live
        }
        self._refuse_what_was_taken_back(history, fresh)
        if missing := {uri: item for uri, item in fresh.items() if uri not in self._made}:
            made = NewFiles(table.io, table.metadata, self._name, dimensions).of(
                (uri, *item) for uri, item in missing.items()
            )
            self._made.update((file.file_path, file) for file in made)
        old = [file for path, file in live.items() if path not in staged]
        return old, [self._made[uri] for uri in fresh]

    def _refuse_what_was_taken_back(
        self, history: History, fresh: Mapping[str, tuple[Any, Staged, int]]
    ) -> None:
        for uri in sorted(history.published_elsewhere(self._marker) & fresh.keys()):
            raise TargetError(
                f"partition {fresh[uri][1]['key']}: {uri} was published already, in a snapshot of {self._name} that "
                f"was rolled back or is of another branch: it is deleted when that snapshot expires. Clear this "
                f"instance of the mapped task, so that it stages a new file"
            )

    def _told(self, table: IcebergTable, history: History, snapshot: Snapshot) -> Published:
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        return {
            "snapshot": snapshot.snapshot_id,
            "rows": int(said.get("added-records", 0)),
            "replaced_files": int(said.get("deleted-data-files", 0)),
            "left_over": remove_leftovers(table.io, self._folder, self._staged(), history),
        }

    def _staged(self) -> set[str]:
        return {self._uri(file["path"]) for _, file in with_files(self._pieces)}

    def _uri(self, path: str) -> str:
        """Return a path as the table writes it."""
        return f"{self._described['uri']}{path.removeprefix(self._described['location'])}"


def _values(dimensions: Sequence[Dimension], pieces: Sequence[Staged]) -> dict[tuple[Any, ...], Staged]:
    """Return the pieces by the values of their partitions, as the table has them."""
    found: dict[tuple[Any, ...], Staged] = {}
    for piece in pieces:
        value = tuple(one.value(piece["partition"][one.name]) for one in dimensions)
        if value in found:
            raise TargetError(
                f"the partitions {found[value]['key']} and {piece['key']} are the same one in the table: map over "
                f"each once"
            )
        found[value] = piece
    return found
