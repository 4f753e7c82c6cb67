"""One try to replace partitions of an Iceberg table, from the state in which it was loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import ManifestContent

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.held import Between, Wanted, of_file
from airflow_mapping_kit.tables.iceberg.history import EMPTIED, MARKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot


def held_files(table: Table, newest: Snapshot | None, wanted: Wanted, name: str) -> Iterable[DataFile]:
    """Give the files whose rows all belong to the partitions.

    :param newest: the snapshot that is replaced
    :param name: of the table, for errors
    :raises TargetError: naming a file that may hold rows of these partitions and of others
    """
    for manifest in newest.manifests(table.io) if newest else ():
        # Row-level deletes of others stay: those of replaced files tell of nothing then.
        if manifest.content != ManifestContent.DATA or not wanted.may_be_listed_in(manifest, table.metadata):
            continue
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            held = of_file(wanted.dimensions, entry.data_file, table.metadata)
            if not wanted.may_be_in(held):
                continue
            if any(isinstance(one, Between) for one in held):
                mixed = [
                    one.name
                    for one, has in zip(wanted.dimensions, held, strict=True)
                    if isinstance(has, Between)
                ]
                raise TargetError(
                    f"the file {entry.data_file.file_path} of the table {name} may hold rows of partitions that are "
                    f"to be replaced and of others: it has more than one {', '.join(mixed)}, or its bounds don't tell. "
                    f"Partition the table by {', '.join(one.name for one in wanted.dimensions)} and rewrite that "
                    f"file, or load partitions that are as large as the table's"
                )
            yield entry.data_file


def replace(
    table: Table,
    branch: str | None,
    marker: str,
    old: Iterable[DataFile],
    new: Sequence[DataFile],
    emptied: Iterable[str],
) -> None:
    """Commit one snapshot in which the old files aren't and the new ones are, if the branch is still as loaded.

    pyiceberg's own retries are off: they would take an append to the very partitions for no conflict where the table
    asks for snapshot isolation.

    :param emptied: the digests of the pieces without rows
    :raises CommitFailedException: if somebody else has committed
    """
    table.metadata.properties["commit.retry.num-retries"] = "0"
    transaction = table.transaction()
    properties: dict[str, Any] = {MARKER: marker, EMPTIED: ",".join(sorted(emptied))}
    with transaction.update_snapshot(properties, branch=branch or "main").overwrite() as snapshot:
        # Which lists of files it need not read pyiceberg asks in several threads of one object that remembers what it
        # was asked: it may overlook one of ours. So it reads all.
        snapshot.delete_by_predicate(AlwaysTrue())
        for file in old:
            snapshot.delete_data_file(file)
        for file in new:
            snapshot.append_data_file(file)
    transaction.commit_transaction()
