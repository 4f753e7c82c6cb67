"""Publish what instances staged for a table of a DuckLake as one snapshot of it."""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables import told
from airflow_mapping_kit.tables.database import literal
from airflow_mapping_kit.tables.ducklake.attached import LAKE, as_list, attached, errors_named
from airflow_mapping_kit.tables.ducklake.found import (
    earlier_commits,
    found_table,
    known_files,
    replaced_files,
)
from airflow_mapping_kit.tables.ducklake.look import partitioned_by
from airflow_mapping_kit.tables.ducklake.wanted import theirs
from airflow_mapping_kit.tables.evolved import changed, check_columns
from airflow_mapping_kit.tables.folder import Folder, check_files
from airflow_mapping_kit.tables.staged import prefix, with_files

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_mapping_kit.tables.described import Table
    from airflow_mapping_kit.tables.ducklake.attached import Lake
    from airflow_mapping_kit.tables.ducklake.found import Found
    from airflow_mapping_kit.tables.formats import Published
    from airflow_mapping_kit.tables.staged import Staged

log = logging.getLogger(__name__)

# Any commit to the lake, not to this table alone, makes it plan anew.
_ATTEMPTS = 20
_LONGEST_WAIT = 5.0


def publish(table: Any, pieces: Sequence[Staged], run: str) -> Published:
    """Replace exactly these partitions by what was staged for them, in one transaction and one snapshot.

    :raises TargetError: if the table changed, a staged file is gone, or a partition can't be replaced exactly
    :raises AirflowException: if others committed each time, or the catalog or the storage failed
    """
    import duckdb

    name = table["name"]
    folder = Folder(prefix(table, run), table.get("aws_conn_id"))
    files, failed = folder.files(), None
    with (
        attached(table["conn_id"], table.get("aws_conn_id")) as lake,
        errors_named(f"The DuckLake table {name} can't be published to"),
    ):
        for attempt in range(_ATTEMPTS):
            snapshot = lake.snapshot
            found = _found(lake, table)
            earlier = earlier_commits(lake, told.run_in(told.told(run, ())))
            done = told.pieces_in(line for _, line in earlier)
            missing = [piece for piece in pieces if told.digest(piece) not in done]
            # That a commit succeeded counts when the catalog says so: its answer may have been lost.
            if not missing:
                left_over = folder.remove(files.keys() - known_files(lake, found))
                return {
                    "snapshot": earlier[0][0],
                    "rows": sum(piece["rows"] for piece in pieces),
                    "replaced_files": replaced_files(lake, found, earlier[0][0]),
                    "left_over": left_over,
                }
            check_files(missing, files)
            _check_new(name, missing, known_files(lake, found))
            try:
                _replace(
                    lake, found, theirs(lake, table, missing), missing, told.told(run, missing), snapshot
                )
            except duckdb.TransactionException as error:
                log.warning("%s: somebody else committed in between, so it is planned anew: %s", name, error)
                failed = error
                time.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.1 * 2**attempt)))  # noqa: S311 -- no secret
    raise AirflowException(
        f"The DuckLake table {name}: none of {_ATTEMPTS} commits went through, because others committed to the lake in "
        f"between. Nothing is published and what is staged stays: run this task again. The last error: {failed}"
    ) from failed


def _found(lake: Lake, table: Table) -> Found:
    """Return the table as it is, if what is staged fits it."""
    given: Any = table
    found = found_table(lake, table["name"])
    if found.uuid != given["uuid"]:
        raise changed(table, "it is another table of that name")
    if partitioned_by(table["name"], found) != given["hive"]:
        raise changed(
            table, f"it is partitioned by {', '.join(column for column, _ in found.by) or 'nothing'}"
        )
    check_columns(table, found.columns)
    return found


def _check_new(name: str, missing: Sequence[Staged], known: Collection[str]) -> None:
    """Check that no file was part of the lake before: DuckLake would delete one that is added again."""
    for piece, file in with_files(missing):
        if file["path"] in known:
            raise TargetError(
                f"partition {piece['key']}: the DuckLake table {name} has or had its staged file {file['path']}, and "
                f"the snapshot that added it has expired: clear its instance so that it stages again, and then this "
                f"task"
            )


def _replace(
    lake: Lake, found: Found, condition: str, missing: Sequence[Staged], told_of: str, snapshot: int
) -> None:
    import duckdb

    schema, name = literal(found.schema), literal(found.name)
    paths = [file["path"] for _, file in with_files(missing)]
    lake.rows("BEGIN")
    try:
        if lake.snapshot != snapshot:
            raise duckdb.TransactionException("the snapshot that was planned for isn't the newest any more")
        lake.rows(f"DELETE FROM {found.sql} WHERE {condition}")  # noqa: S608
        if paths:
            # A path's directories are looked at only where they are the partition: else any `a=b` would be a column.
            hive = "true" if found.by else "false"
            lake.rows(
                f"CALL ducklake_add_data_files({literal(LAKE)}, {name}, {as_list(paths)}, schema => {schema}, "
                f"allow_missing => true, hive_partitioning => {hive})"
            )
        message = literal(f"{len(missing):,} partitions")
        lake.rows(
            f"CALL ducklake_set_commit_message({literal(LAKE)}, 'airflow-mapping-kit', {message}, "
            f"extra_info => {literal(told_of)})"
        )
        lake.rows("COMMIT")
    except duckdb.Error as error:
        with suppress(duckdb.Error):
            lake.rows("ROLLBACK")
        if isinstance(
            error, duckdb.InvalidInputException | duckdb.BinderException | duckdb.ConversionException
        ):
            raise TargetError(
                f"The DuckLake table {found.name}: what is staged doesn't fit it: {error}"
            ) from error
        raise
