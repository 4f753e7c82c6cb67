"""Temporary names that their maker holds by a lock, so that what a killed process left can be told apart.

The kernel frees a `flock` when its process dies, however it dies: a name whose lock is free is nobody's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Hidden, and with an ending that no reader's glob (`*.parquet`) matches.
_PREFIX = ".mapping-kit-"
_FILE_SUFFIX = ".tmp"
_DIRECTORY_SUFFIX = ".d"


@contextmanager
def claimed_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """Make an empty file in `folder` and hold it: gives its path and an open file descriptor.

    The file is removed in the end if it still has its temporary name.

    :raises OSError: if the folder can't be written to
    """
    while True:
        path = folder / f"{_PREFIX}{uuid.uuid4().hex}{_FILE_SUFFIX}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            if not _hold(descriptor, path):
                continue
            try:
                yield path, descriptor
            finally:
                with suppress(FileNotFoundError):
                    path.unlink()
            return
        finally:
            os.close(descriptor)


@contextmanager
def claimed_directory(folder: Path) -> Iterator[Path]:
    """Make a private directory in `folder` and hold it; it and all it holds are removed in the end.

    What is held is a file beside it: NFS gives a lock on a directory to every host that asks.

    :raises OSError: if the folder can't be written to
    """
    with claimed_file(folder) as (claim, _):
        path = claim.with_suffix(_DIRECTORY_SUFFIX)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def remove_abandoned(folder: Path) -> list[str]:
    """Remove what killed processes left in `folder`, and return the names.

    Only names of this module whose lock is free; a file system without locks keeps them all.
    """
    removed = []
    for name in os.listdir(folder):
        if name.startswith(_PREFIX) and name.endswith(_FILE_SUFFIX):
            # Held, gone meanwhile, or another user's: each is a reason to leave it alone.
            with suppress(OSError):
                _remove_if_free(folder / name)
                removed.append(name)
    return removed


def _remove_if_free(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # First the directory that the file claims: without the file nobody would know whose it is. By name:
        # names are never used twice, so one that was published meanwhile is simply not found.
        with suppress(FileNotFoundError):
            shutil.rmtree(path.with_suffix(_DIRECTORY_SUFFIX))
        path.unlink()
    finally:
        os.close(descriptor)


def _hold(descriptor: int, path: Path) -> bool:
    """Lock a name that was just made; false if `remove_abandoned` of another process was faster."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # A file system without locks: nobody can take the name for abandoned there either.
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}:
            raise
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
