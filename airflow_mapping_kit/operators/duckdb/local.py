"""Publish partitions into a directory tree: one file each, replaced in one step."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.duckdb.claims import claimed_file, remove_abandoned
from airflow_mapping_kit.storage.lake import FILE_NAME, PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_NAME_BYTES = 255  # ext4, XFS, NFS, APFS


@dataclass(frozen=True)
class Staged:
    """A place to write a partition's file to; `publish()` puts it in the partition's place and says where."""

    path: Path
    publish: Callable[[], str]


class LocalTarget:
    """A directory on a POSIX file system.

    :param root: its path; it is made if it doesn't exist
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).absolute()

    def console(self, _: str) -> None:
        """Return nothing: no console shows a directory."""

    def check(self, key: str, directory: str) -> None:
        """Check that a directory can have this name.

        :raises TargetError: naming the component that is too long
        """
        for component in directory.split("/"):
            size = len(component.encode())
            if size > _MAX_NAME_BYTES:
                raise TargetError(
                    f"partition {key}: the directory name {component!r} takes {size} bytes, and file systems "
                    f"take {_MAX_NAME_BYTES}: shorten the value, or use an s3:// target"
                )

    @contextmanager
    def staged(self, key: str, directory: str) -> Iterator[Staged]:
        """Give a hidden file in the partition's own directory, so that publishing is one rename.

        What other tools wrote into that directory (`*.parquet` directly in it, listed before the query
        runs) is removed right after; a reader in between sees both. Directories in it are other partitions.

        :raises TargetError: if the directory can't be made or written to
        :raises OSError: if it could be another time: the disk is full
        """
        folder = self._root / directory
        with ExitStack() as stack:
            try:
                made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                remove_abandoned(folder)
                stale = [folder / entry.name for entry in os.scandir(folder) if _is_stale(entry)]
                path, descriptor = stack.enter_context(claimed_file(folder))
            except OSError as error:
                if error.errno in PASSING:
                    raise
                raise TargetError(
                    f"partition {key}: can't write to {str(folder)!r}: {error.strerror}. "
                    f"Check the target, and that the worker's user may write there"
                ) from error

            def publish() -> str:
                final = folder / FILE_NAME
                os.fsync(descriptor)
                path.replace(final)
                for changed in (folder, *(directory.parent for directory in made)):
                    sync(changed)
                for other in stale:
                    other.unlink(missing_ok=True)
                return str(final)

            yield Staged(path, publish)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    is_other = entry.name.endswith(".parquet") and entry.name != FILE_NAME
    return is_other and not entry.is_dir(follow_symlinks=False)


def sync(path: Path) -> None:
    """Have what was written to a file or a directory outlive the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
