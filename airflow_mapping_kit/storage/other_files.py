"""Files in any storage that Airflow has a file system for: `gs://`, `az://` and others."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage.azure_blobs import Blob
from airflow_mapping_kit.storage.file_systems import errors, file_system
from airflow_mapping_kit.storage.uris import AZURE, GOOGLE, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_mapping_kit.storage.uris import Uri


@contextmanager
def whole(uri: str, doing: str = "write") -> Iterator[BinaryIO]:
    """See `files.whole`.

    :param doing: what it is done for, as errors say it
    """
    at = parsed(uri)
    with errors(at, doing):
        file = _begun(uri)
    try:
        yield file
        with errors(at, doing):
            if not isinstance(file, Blob):
                file.close()
            file.commit()
    except BaseException:
        if not isinstance(file, Blob):
            _given_up(file, at)
        raise


def _given_up(file: Any, at: Uri) -> None:
    # Google forgets by itself what was sent; others keep it, and want to be paid for it.
    if at.scheme not in GOOGLE:
        file.discard()
    # Else it is closed when it is forgotten, and some file systems make a file of what was written by then.
    with suppress(AttributeError):
        file.closed = True


def _begun(uri: str) -> Any:
    at = parsed(uri)
    files = file_system(at)
    if at.scheme in AZURE:
        return Blob(files, at.path)
    # Left by an error, a file system makes a file of what was written by then: not so what has to be committed.
    return files.open(at.path, "wb", autocommit=False)


def created(uri: str, data: bytes) -> bool:  # noqa: ARG001 -- as the others have it
    """See `files.created`. Few file systems of Airflow's can, and none says so."""
    raise StorageError(f"{uri!r}: only a folder and S3 can tell who was the first to write a file.")


def read_range(uri: str, start: int, end: int) -> bytes:
    """See `files.read_range`."""
    files, path = _found(uri)
    with files.open(path, "rb", cache_type="none") as file:
        if start >= file.size:
            return b""
        file.seek(start)
        found: bytes = file.read(min(end, file.size) - start)
        return found


def listed(uri: str) -> list[str]:
    """See `files.listed`."""
    files, path = _found(uri)
    try:
        entries = files.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return [f"{uri}/{one['name'].rpartition('/')[2]}" for one in entries if one["type"] == "file"]


def entries(uri: str) -> dict[str, int | None]:
    """Return the entries of a folder by name: the size of a file, `None` for a folder; empty if it doesn't exist."""
    files, path = _found(uri)
    try:
        found = files.ls(path, detail=True)
    except FileNotFoundError:
        return {}
    return {
        one["name"].rstrip("/").rpartition("/")[2]: one["size"] if one["type"] == "file" else None
        for one in found
    }


def sizes(uri: str) -> dict[str, int]:
    """See `files.sizes`."""
    files, path = _found(uri)
    try:
        entries = files.find(path, detail=True)
    except FileNotFoundError:
        return {}
    below = f"{path.rstrip('/')}/"
    # Of a folder that isn't there, some find those whose names begin as its own does, and a list.
    return {
        f"{uri}/{name[len(below) :]}": one["size"]
        for name, one in cast("dict[str, Any]", entries or {}).items()
        if name.startswith(below)
    }


def size(uri: str) -> int:
    """Return the size of a file in bytes.

    :raises FileNotFoundError: if there is no such file
    """
    files, path = _found(uri)
    return int(files.info(path)["size"])


def delete(uris: Iterable[str]) -> None:
    """See `files.delete`."""
    for uri in uris:
        files, path = _found(uri)
        with suppress(FileNotFoundError):
            try:
                files.rm_file(path)
            except NotImplementedError:
                # An older adlfs. What it expands is a glob, too, and a name may look like one.
                files.rm(path, expand_path=False)


def forget_unfinished(_: str, __: Callable[[str], bool]) -> None:
    """Do nothing: these file systems don't list unfinished files."""


def _found(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI, without cached listings, and its name for the file."""
    at = parsed(uri)
    files = file_system(at)
    files.invalidate_cache()
    return files, at.path
