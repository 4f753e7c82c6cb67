"""Publish partitions of several files into a directory tree: a partition's are replaced in one step, as a directory."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.duckdb.claims import claimed_directory, remove_abandoned
from airflow_mapping_kit.operators.duckdb.local import LocalTarget, Staged, sync
from airflow_mapping_kit.storage.lake import PASSING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of Linux: two names change places.
_EXCHANGE = 2
_HERE = -100
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class SwappedTarget(LocalTarget):
    """A directory on a file system that can let two directories change places."""

    @contextmanager
    def staged(self, key: str, directory: str) -> Iterator[Staged]:
        """Give an empty directory beside the target, which then becomes the partition's own.

        Not below the target: a reader's `**/*.parquet` looks into hidden directories, too. Parquet files that were in
        the partition's directory go with it, whoever wrote them; others stay.

        :raises TargetError: if it can't be made or swapped, or partitions of more dimensions lie in the partition's
        :raises OSError: if it could be another time: the disk is full
        """
        folder = self._root / directory
        with ExitStack() as stack:
            with _said(key, self._root.parent):
                folder.parent.mkdir(parents=True, exist_ok=True)
                _refuse_nested(key, folder)
                remove_abandoned(self._root.parent)
                new = stack.enter_context(claimed_directory(self._root.parent)) / folder.name
                # By the permissions that others have: what holds it is private.
                new.mkdir()

            def publish() -> str:
                for file in new.iterdir():
                    sync(file)
                with _said(key, folder):
                    # Before the swap: a process that dies right after it has lost nobody's file.
                    _take_along(folder, new)
                    sync(new)
                    _put(new, folder)
                    sync(folder.parent)
                    # What appeared or changed in between.
                    for other in _others(new):
                        if not _is_same(other, folder / other.name):
                            other.replace(folder / other.name)
                return str(folder)

            yield Staged(new, publish)


def _take_along(folder: Path, new: Path) -> None:
    """Give a directory the files of another that aren't Parquet's, whoever wrote them."""
    for other in _others(folder):
        # Or somebody has removed it just now.
        with suppress(FileNotFoundError):
            _share(other, new / other.name)


def _share(file: Path, name: Path) -> None:
    try:
        os.link(file, name, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        # A file system without hard links.
        shutil.copy2(file, name, follow_symlinks=False)


def _others(folder: Path) -> list[Path]:
    """Return what in a directory isn't Parquet, nor the kit's; nothing where there is none."""
    return [one for one in folder.iterdir() if _is_others(one)] if folder.exists() else []


def _is_same(one: Path, other: Path) -> bool:
    with suppress(FileNotFoundError):
        here, there = one.lstat(), other.lstat()
        same_file = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        return same_file or (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
    return False


def _put(new: Path, folder: Path) -> None:
    """Let a directory take the place of one that there may be, which takes its own."""
    while True:
        try:
            # Of none, or of an empty one.
            new.rename(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        else:
            return
        try:
            _exchange(new, folder)
        except FileNotFoundError:
            # Somebody has removed it just now.
            continue
        return


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        failed = libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


@contextmanager
def _said(key: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise
        if error.errno in _CANNOT:
            raise TargetError(
                f"partition {key}: {str(folder)!r} can't be replaced in one step ({error.strerror}): the files of "
                f"file_size_bytes need a Linux file system that swaps directories, with the target's parent on it. "
                f"Leave file_size_bytes out, or use a target that has that"
            ) from error
        raise TargetError(
            f"partition {key}: can't write to {str(folder)!r}: {error.strerror}. Check the target, and that the "
            f"worker's user may write there and, for file_size_bytes, into its parent"
        ) from error


def _refuse_nested(key: str, folder: Path) -> None:
    nested = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.exists() else []
    if nested:
        raise TargetError(
            f"partition {key}: the directory {nested[0]!r} lies in {str(folder)!r}, and would be replaced with it: "
            f"leave file_size_bytes out, or use another target"
        )


def _is_others(file: Path) -> bool:
    return not file.name.endswith(".parquet") and not file.name.startswith(".mapping-kit-")
