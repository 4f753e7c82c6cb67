"""Files in any storage that Airflow has a file system for: `gs://`, `abfs://` and others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_mapping_kit.compat import storage_path
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def whole(uri: str) -> Iterator[BinaryIO]:
    """See `files.whole`."""
    path = _path(uri)
    # Left by an error, a file system makes a file of what was written by then: not so what has to be committed.
    file = path.fs.open(path.path, "wb", autocommit=False)
    try:
        yield file
        file.close()
        file.commit()
    except BaseException:
        file.discard()
        raise


def created(uri: str, data: bytes) -> bool:  # noqa: ARG001 -- as the others have it
    """See `files.created`. Few file systems of Airflow's can, and none says so."""
    raise StorageError(f"{uri!r}: only a folder and S3 can tell who was the first to write a file.")


def read_range(uri: str, start: int, end: int) -> bytes:
    """See `files.read_range`."""
    path = _path(uri)
    with path.fs.open(path.path, "rb", cache_type="none") as file:
        if start >= file.size:
            return b""
        file.seek(start)
        found: bytes = file.read(min(end, file.size) - start)
        return found


def listed(uri: str) -> list[str]:
    """See `files.listed`."""
    path = _path(uri)
    path.fs.invalidate_cache()
    try:
        entries = path.fs.ls(path.path, detail=True)
    except FileNotFoundError:
        return []
    return [f"{uri}/{one['name'].rpartition('/')[2]}" for one in entries if one["type"] == "file"]


def sizes(uri: str) -> dict[str, int]:
    """See `files.sizes`."""
    path = _path(uri)
    path.fs.invalidate_cache()
    try:
        entries = path.fs.find(path.path, detail=True)
    except FileNotFoundError:
        return {}
    above = len(path.path.rstrip("/")) + 1
    return {f"{uri}/{name[above:]}": one["size"] for name, one in entries.items()}


def delete(uris: Iterable[str]) -> None:
    """See `files.delete`."""
    for uri in uris:
        path = _path(uri)
        if path.fs.exists(path.path):
            path.fs.rm_file(path.path)


def forget_unfinished(_: str, __: Callable[[str], bool]) -> None:
    """Do nothing: what is not finished no file system of these tells of."""


def _path(uri: str) -> Any:
    try:
        path = storage_path(uri)
        path.fs  # noqa: B018 -- finds the implementation, or says that there is none
    except Exception as error:
        raise StorageError(
            f"{uri!r} is no place that Airflow can read and write: {one_line(error)}. Check the scheme, and install "
            f"the provider that it needs"
        ) from error
    return path
