"""Files opened for reading, on disk and in object storage. A change of the file while it is read is an error."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_mapping_kit.compat import AirflowException, storage_path
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import error_code, s3_client, s3_errors
from airflow_mapping_kit.storage.found import local_file, s3_file
from airflow_mapping_kit.storage.lake import PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What one request reads: so much is in memory, and few enough requests are sent.
_BLOCK = 4 << 20

# What file systems tell of a file that changes with it.
_VERSIONS = ("ETag", "etag", "generation", "mtime", "updated", "last_modified", "modified", "created")


@contextmanager
def opened(
    uri: str, client: Callable[[str | None], Any] = s3_client, *, in_order: bool = True
) -> Iterator[BinaryIO]:
    """Open a file for reading, anywhere in it.

    :param uri: a path, `file://`, `s3://connection@bucket/key` (by boto3), or what else Airflow has a file system for
    :param client: gives the S3 client of a connection, 50 ms each: `cache(s3_client)` for several files
    :param in_order: whether it is read from its beginning to its end: then 4 MiB are asked for at a time. Else so much
        as is read at a time
    :raises StorageError: if it can't be read
    :raises AirflowException: if it doesn't exist, or changes before the block ends: a later try may succeed
    """
    if (path := local_file(uri)) is not None:
        with _on_disk(path, uri) as file:
            yield file
    elif place := s3_file(uri):
        connection, bucket, _ = place
        with s3_errors(connection, bucket, f"read {uri}"):
            raw = S3Object(client(connection), place, uri, block=_BLOCK if in_order else 0)
            yield cast("BinaryIO", io.BufferedReader(raw) if in_order else raw)
    else:
        with _elsewhere(uri, in_order=in_order) as file:
            yield file


@contextmanager
def _on_disk(path: str, uri: str) -> Iterator[BinaryIO]:
    try:
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise _missing(uri) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in PASSING:
            raise
        raise StorageError(
            f"{shown(uri)} can't be read: {getattr(error, 'strerror', None) or error}. Check the path, and that the "
            f"worker's user may read it."
        ) from error
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            raise StorageError(f"{shown(uri)} is a folder: name its files, such as {shown(f'{uri}/*.csv')}")
        if not stat.S_ISREG(before.st_mode):
            raise StorageError(f"{shown(uri)} can't be read twice: name a file on disk.")
        # Some readers close what they read.
        with open(descriptor, "rb", closefd=False) as file:
            yield file
        after = os.fstat(descriptor)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise _changed(uri)
    finally:
        os.close(descriptor)


@contextmanager
def _elsewhere(uri: str, *, in_order: bool) -> Iterator[BinaryIO]:
    try:
        place = storage_path(uri)
        files = place.fs
    except (ImportError, ValueError) as error:
        raise StorageError(
            f"{shown(uri)} can't be read: {error}. Check the scheme, and that Airflow's provider for it is installed."
        ) from error
    try:
        before = _version(files, place.path)
        file = files.open(place.path, "rb", block_size=_BLOCK, cache_type="readahead" if in_order else "none")
    except FileNotFoundError:
        raise _missing(uri) from None
    with file:
        yield file
        if not files.exists(place.path) or _version(files, place.path) != before:
            raise _changed(uri)


def _version(files: Any, path: str) -> tuple[Any, ...]:
    # What a file system remembers of a folder is as old as its listing, and of other fields than it tells of one file.
    files.invalidate_cache()
    info = files.info(path)
    return (info.get("size"), *(info[name] for name in _VERSIONS if name in info))


class S3Object(io.RawIOBase):
    """An object in S3 that is read by ranges, all of the same version.

    A reader that takes minutes between two reads needs no connection that stays open for it.

    :param block: how many bytes are asked for at least
    """

    def __init__(self, client: Any, place: tuple[str | None, str, str], uri: str, *, block: int) -> None:
        self._client, self._uri, self._block = client, uri, block
        self._place = {"Bucket": place[1], "Key": place[2]}
        head = self._asked(client.head_object)
        self._etag, self._size, self._at = head["ETag"], head["ContentLength"], 0
        self._first, self._held = 0, b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes: one request, or none if the last request already brought them."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if not self._first <= self._at < self._first + len(self._held):
            end = min(self._at + max(wanted, self._block), self._size)
            answer = self._asked(
                self._client.get_object, IfMatch=self._etag, Range=f"bytes={self._at}-{end - 1}"
            )
            self._first, self._held = self._at, answer["Body"].read()
        start = self._at - self._first
        content = self._held[start : start + wanted]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _asked(self, operation: Any, **arguments: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return operation(**self._place, **arguments)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                raise _missing(self._uri) if not arguments else _changed(self._uri) from None
            if error_code(error) in ("PreconditionFailed", "412"):
                raise _changed(self._uri) from None
            raise


def _missing(uri: str) -> Exception:
    return AirflowException(
        f"There is no file {shown(uri)}. Check the path, and whether the program that writes it has finished. For "
        "several files write a glob, such as *.csv."
    )


def _changed(uri: str) -> Exception:
    return AirflowException(
        f"{shown(uri)} changed while it was read, so the plan would mix two versions. Write the file before this "
        "task runs, or under another name. A retry reads it again."
    )
