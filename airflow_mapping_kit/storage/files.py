"""Files outside Airflow, on any storage: a file is visible as a whole or not at all, and can be read by range.

A URI is an absolute path or `file://`, read without Airflow's object storage, which takes a quarter of a second of CPU
to start; `s3://connection@bucket/key`, through boto3; or anything else that Airflow has a file system for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_mapping_kit.storage.place import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

# So much is read at a time: a batch is mostly less, and then its place is asked once.
_BLOCK = 4 * 2**20
_MOST_DELETED = 1000


def whole(uri: str) -> AbstractContextManager[BinaryIO]:
    r"""Open a file for writing. It replaces the old one when the block ends, unless with an error.

    :raises StorageError: if it can't be written there.

    Example: `with whole("s3://aws@lake/report.jsonl") as file: file.write(b"{}\n")`.
    """
    opened: AbstractContextManager[BinaryIO] = _kind(uri).whole(uri)
    return opened


def tells_the_first(uri: str) -> bool:
    """Tell whether `created` works on a storage."""
    return is_local(uri) or uri.startswith("s3://")


def created(uri: str, data: bytes) -> bool:
    """Create a small file if it doesn't exist, and return whether it was created. If many try, only one gets `True`.

    :raises StorageError: if it can't be written there, or the store can't do it.
    """
    made: bool = _kind(uri).created(uri, data)
    return made


def read_range(uri: str, start: int, end: int) -> bytes:
    """Return the bytes of a file from `start` to before `end`: fewer, or none, if it ends earlier.

    :raises FileNotFoundError: if there is no such file.
    """
    return _kind(uri).read_range(uri, start, end) if start < end else b""


def lines(uri: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    r"""Yield the lines of a file, or of a range of it, without the `\n` that ends each: nothing else ends one.

    It is read 4 MiB at a time, the first when the first line is wanted.

    :raises FileNotFoundError: if there is no such file.
    """
    rest, kind = b"", _kind(uri)
    while end is None or start < end:
        wanted = start + _BLOCK if end is None else min(start + _BLOCK, end)
        block = kind.read_range(uri, start, wanted)
        start += len(block)
        whole_lines = (rest + block).split(b"\n")
        rest = whole_lines.pop()
        yield from whole_lines
        if start < wanted:
            break
    if rest:
        yield rest


def listed(uri: str) -> list[str]:
    """Return the files directly in a folder, sorted; none if the folder doesn't exist."""
    return sorted(_kind(uri).listed(uri.rstrip("/")))


def sizes(uri: str) -> dict[str, int]:
    """Return the sizes in bytes of all files below a folder, at any depth, by URI; none if it doesn't exist."""
    found: dict[str, int] = _kind(uri).sizes(uri.rstrip("/"))
    return found


def delete(*uris: str) -> None:
    """Delete files of one storage. Files that don't exist are ignored."""
    for at in range(0, len(uris), _MOST_DELETED):
        _kind(uris[0]).delete(uris[at : at + _MOST_DELETED])


def forget_unfinished(uri: str, named: Callable[[str], bool]) -> None:
    """Delete unfinished files of killed writers in a folder, if the storage can.

    :param named: tells by its name whether a file is meant.
    """
    _kind(uri).forget_unfinished(uri.rstrip("/"), named)


def _kind(uri: str) -> Any:
    # An instance pays for the kind that it has.
    if is_local(uri):
        from airflow_mapping_kit.storage import local_files

        return local_files
    if uri.startswith("s3://"):
        from airflow_mapping_kit.storage import s3_files

        return s3_files
    from airflow_mapping_kit.storage import other_files

    return other_files
