"""What the snapshots of an Iceberg table tell of earlier commits of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table.snapshots import ancestors_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyiceberg.manifest import ManifestEntry
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

# The property of a snapshot that tells what was published with it.
MARKER = "mapping-kit.published"
# The property that tells which partitions were emptied with it: no file tells of these.
EMPTIED = "mapping-kit.emptied"


class History:
    """The snapshots of a branch that lead to its newest, and all others.

    :param table: as the catalog has it now
    :param branch: `None` for `main`
    """

    def __init__(self, table: Table, branch: str | None) -> None:
        self._table = table
        self.newest: Snapshot | None = table.metadata.snapshot_by_name(branch or "main")
        # A snapshot that was rolled back isn't among them: what it published doesn't count.
        self._ancestors = list(ancestors_of(self.newest, table.metadata))

    def marked(self, marker: str) -> Snapshot | None:
        """Return the snapshot that published just this, if the branch has it."""
        return next((one for one in self._ancestors if marker_of(one) == marker), None)

    def published(self, marker: str) -> set[str]:
        """Return the files that the same run has put into this branch so far, whatever became of them since."""
        return self._added(one for one in self._ancestors if _is_of_same_run(one, marker))

    def emptied(self, marker: str) -> frozenset[str]:
        """Return the digests of the pieces without rows that the same run has published in this branch so far."""
        said = (_property(one, EMPTIED) for one in self._ancestors if _is_of_same_run(one, marker))
        return frozenset(digest for line in said for digest in line.split(",") if digest)

    def published_elsewhere(self, marker: str) -> set[str]:
        """Return the files that the same run has put into snapshots that aren't in this branch, or aren't any more."""
        ancestors = {one.snapshot_id for one in self._ancestors}
        others = (one for one in self._table.snapshots() if one.snapshot_id not in ancestors)
        return self._added(one for one in others if _is_of_same_run(one, marker))

    def unknown(self, files: set[str]) -> set[str]:
        """Return those of the files that no snapshot of the table knows, also as removed."""
        manifests = {
            one.manifest_path: one
            for snapshot in self._table.snapshots()
            for one in snapshot.manifests(self._table.io)
        }
        left = set(files)
        for manifest in manifests.values():
            if not left:
                break
            left -= {
                entry.data_file.file_path
                for entry in manifest.fetch_manifest_entry(self._table.io, discard_deleted=False)
            }
        return left

    def _added(self, snapshots: Iterable[Snapshot]) -> set[str]:
        return {entry.data_file.file_path for one in snapshots for entry in self._entries_added(one)}

    def _entries_added(self, snapshot: Snapshot) -> Iterator[ManifestEntry]:
        for manifest in snapshot.manifests(self._table.io):
            if manifest.added_snapshot_id == snapshot.snapshot_id:
                for entry in manifest.fetch_manifest_entry(self._table.io, discard_deleted=True):
                    if entry.status == ManifestEntryStatus.ADDED:
                        yield entry


def marker_of(snapshot: Snapshot) -> str:
    """Return what a snapshot says was published with it, `""` if it isn't one of the kit."""
    return _property(snapshot, MARKER)


def _property(snapshot: Snapshot, name: str) -> str:
    return str(snapshot.summary.additional_properties.get(name, "")) if snapshot.summary else ""


def _is_of_same_run(snapshot: Snapshot, marker: str) -> bool:
    # A marker is the run's digest and that of its files.
    run = marker.partition("#")[0]
    return marker_of(snapshot).partition("#")[0] == run
