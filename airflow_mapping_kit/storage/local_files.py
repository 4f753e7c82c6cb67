"""Files of this machine."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage.lake import PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BUFFER = 256 * 1024
_UNFINISHED = ".unfinished"


@contextmanager
def whole(uri: str) -> Iterator[BinaryIO]:
    """See `files.whole`."""
    path = _path(uri)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = unfinished.open("wb", buffering=_BUFFER)
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise StorageError(
            f"can't write {str(path)!r}: {error.strerror}. Check [mapping_kit] storage, and that the worker's user "
            f"may write there"
        ) from error
    try:
        with file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def created(uri: str, data: bytes) -> bool:
    """See `files.created`."""
    path = _path(uri)
    # A name of its own first: a file that is there is there with all that it holds.
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    with whole(str(own)) as file:
        file.write(data)
    try:
        path.hardlink_to(own)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise StorageError(
            f"can't make {str(path)!r} without replacing another file: {error.strerror}. The file system must "
            "support hard links. Set another place: [mapping_kit] storage"
        ) from error
    finally:
        own.unlink(missing_ok=True)
    return True


def read_range(uri: str, start: int, end: int) -> bytes:
    """See `files.read_range`."""
    with _path(uri).open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def listed(uri: str) -> list[str]:
    """See `files.listed`."""
    return [f"{uri}/{one.name}" for one in _files_in(_path(uri)) if not one.name.endswith(_UNFINISHED)]


def sizes(uri: str) -> dict[str, int]:
    """See `files.sizes`."""
    top = _path(uri)
    found = {}
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in names if not name.endswith(_UNFINISHED)):
            with suppress(FileNotFoundError):
                found[f"{uri}/{path.relative_to(top).as_posix()}"] = path.stat().st_size
    return found


def delete(uris: Iterable[str]) -> None:
    """See `files.delete`."""
    for uri in uris:
        _path(uri).unlink(missing_ok=True)


def forget_unfinished(uri: str, named: Callable[[str], bool]) -> None:
    """See `files.forget_unfinished`."""
    for one in _files_in(_path(uri)):
        name, _, _ = one.name.removesuffix(_UNFINISHED)[1:].rpartition(".")
        if one.name.startswith(".") and one.name.endswith(_UNFINISHED) and named(name):
            one.unlink(missing_ok=True)


def _files_in(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if one.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))
