"""Publish what instances staged for a Delta table as one version of it."""

from __future__ import annotations

import json
import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables import told
from airflow_mapping_kit.tables.delta.columns import columns
from airflow_mapping_kit.tables.delta.commits import earlier_commits, properties
from airflow_mapping_kit.tables.delta.opened import opened, passing_errors
from airflow_mapping_kit.tables.delta.partitions import partition_values, text_of
from airflow_mapping_kit.tables.delta.paths import as_removed
from airflow_mapping_kit.tables.delta.refused import check_writable
from airflow_mapping_kit.tables.evolved import changed, check_columns
from airflow_mapping_kit.tables.folder import Folder, check_files
from airflow_mapping_kit.tables.staged import files_of, prefix

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from deltalake import DeltaTable

    from airflow_mapping_kit.tables.delta.commits import Earlier
    from airflow_mapping_kit.tables.delta.partitions import Values
    from airflow_mapping_kit.tables.formats import Published
    from airflow_mapping_kit.tables.staged import Staged

log = logging.getLogger(__name__)

_ATTEMPTS = 10
_LONGEST_WAIT = 5.0


class _File(NamedTuple):
    """A file of the table: its path as the log has it, its size, and its partition's values."""

    path: str
    size: int
    values: Values


def publish(table: Mapping[str, Any], pieces: Sequence[Staged], run: str) -> Published:
    """Replace exactly these partitions by what was staged for them, in one version of the table.

    :raises TargetError: if the table changed, a staged file is gone, or a partition can't be replaced exactly
    :raises AirflowException: if others committed each time, or the storage failed
    """
    from deltalake.exceptions import CommitFailedError

    name, by = table["name"], table["partitioned_by"]
    wanted = partition_values(table, by, pieces)  # type: ignore[arg-type]
    folder = Folder(prefix(table, run), table.get("aws_conn_id"))  # type: ignore[arg-type]
    files, failed = folder.files(), None
    for attempt in range(_ATTEMPTS):
        now = opened(name, table.get("aws_conn_id"), table.get("storage_options"))
        _check(table, now)
        with passing_errors(name, "be read"):
            earlier, live = earlier_commits(now, run), _live(now, by)
        known = {f"{table['location']}/{file.path}" for file in live}
        # What the log has forgotten is told by the files.
        missing = [
            piece
            for piece in pieces
            if told.digest(piece) not in earlier.pieces
            and not any(one["path"] in known for one in files_of(piece))
        ]
        # That a commit succeeded counts when the table says so: its answer may have been lost.
        if not missing:
            return _published(pieces, folder, files, earlier, known)
        _check_not_rolled_back(name, missing, earlier)
        check_files(missing, files)
        try:
            _commit(
                now,
                table,
                live,
                {piece["key"]: wanted[piece["key"]] for piece in missing},
                missing,
                run,
                earlier,
            )
        except (CommitFailedError, OSError) as error:
            log.warning("%s: somebody else committed in between, so it is planned anew: %s", name, error)
            failed = error
            time.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.1 * 2**attempt)))  # noqa: S311 -- no secret
    raise AirflowException(
        f"The Delta table {name}: none of {_ATTEMPTS} commits went through, because others committed in between or the "
        f"storage refused. Nothing is published and what is staged stays: run this task again. The last error: {failed}"
    ) from failed


def _check(table: Mapping[str, Any], now: DeltaTable) -> None:
    if str(now.metadata().id) != table["id"]:
        raise changed(table, "it is another table of that name")  # type: ignore[arg-type]
    if now.metadata().partition_columns != table["partitioned_by"]:
        by = ", ".join(now.metadata().partition_columns)
        raise changed(table, f"it is partitioned by {by or 'nothing'}")  # type: ignore[arg-type]
    check_writable(table["name"], now)
    check_columns(table, columns(now))  # type: ignore[arg-type]


def _live(now: DeltaTable, by: Sequence[str]) -> list[_File]:
    actions = now.get_add_actions(flatten=False)
    paths, sizes = actions["path"].to_pylist(), actions["size_bytes"].to_pylist()
    partitions = actions["partition"].to_pylist()
    return [
        _File(path, size, tuple(text_of(partition[column]) for column in by))
        for path, size, partition in zip(paths, sizes, partitions, strict=True)
    ]


def _check_not_rolled_back(name: str, missing: Sequence[Staged], earlier: Earlier) -> None:
    for piece in missing:
        if told.digest(piece) in earlier.rolled_back:
            raise TargetError(
                f"partition {piece['key']} was published to the Delta table {name}, and somebody has undone that by "
                f"RESTORE. Its file can't be added again. Clear its instance so that it stages a new one, and then "
                f"this task"
            )


def _commit(
    now: DeltaTable,
    table: Mapping[str, Any],
    live: Sequence[_File],
    wanted: Mapping[str, Values],
    missing: Sequence[Staged],
    run: str,
    earlier: Earlier,
) -> None:
    from deltalake.transaction import AddAction, RemoveAction

    name, by, moment = table["name"], table["partitioned_by"], int(time.time() * 1000)
    replaced = set(wanted.values())
    old = [file for file in live if file.values in replaced]
    _check_vectors(name, now, old)
    actions: list[Any] = [
        RemoveAction(path, True, moment, file.size, dict(zip(by, file.values, strict=True)))
        for path, file in zip(as_removed(name, [file.path for file in old]), old, strict=True)
    ]
    for piece in missing:
        values = dict(zip(by, wanted[piece["key"]], strict=True))
        for one in files_of(piece):
            path = one["path"].removeprefix(table["location"]).lstrip("/")
            stats = json.dumps({"numRecords": one["rows"]})
            actions.append(AddAction(path, one["bytes"], values, moment, True, stats))
    told_of = properties(run, missing, len(old), earlier.number + 1, moment)
    now.create_write_transaction(actions, "append", now.schema(), by, commit_properties=told_of)


def _check_vectors(name: str, now: DeltaTable, old: Sequence[_File]) -> None:
    """Check that no file has a deletion vector: deltalake can't say which when it removes one, and it would stay."""
    if "deletionVectors" not in (now.protocol().writer_features or ()):
        return
    with_vectors = now.deletion_vectors().read_all()["filepath"].to_pylist()
    for file in old:
        if any(one.endswith(f"/{file.path}") for one in with_vectors):
            values = ", ".join(map(str, file.values))
            raise TargetError(
                f"The Delta table {name}: rows of the partition {values} were deleted by a deletion vector, and "
                f"deltalake can't remove such a file: purge it (REORG TABLE ... APPLY (PURGE)), and run this task again"
            )


def _published(
    pieces: Sequence[Staged],
    folder: Folder,
    files: Mapping[str, int],
    earlier: Earlier,
    known: Collection[str],
) -> Published:
    """Remove what no version knows of the run's own files, and return what is published."""
    once = earlier.pieces | earlier.rolled_back
    left_over = [path for path in files if path not in known and not told.is_in(path, once)]
    return {
        "snapshot": earlier.version,
        "rows": sum(piece["rows"] for piece in pieces),
        "replaced_files": earlier.replaced,
        "left_over": folder.remove(left_over),
    }
