"""A lake: where a published partition is below a target, and which partitions exist."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PartitionError, TargetError
from airflow_mapping_kit.partitions.keys import parse_partition_key, partition_key
from airflow_mapping_kit.storage import other_files
from airflow_mapping_kit.storage.buckets import listed, s3_client, s3_errors
from airflow_mapping_kit.storage.file_systems import check_bucket, errors
from airflow_mapping_kit.storage.uris import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airflow_mapping_kit.storage.uris import Uri

# All that a partition is: published in one step, so that what has this name is whole.
FILE_NAME = "data_0.parquet"
# Several have other names each time: who reads while they are replaced finds all of them or none.
_FIRST_OF_SEVERAL = re.compile(r"data_0_[0-9a-f]{32}\.parquet")

# What a retry may find mended; any other error says that the target is wrong.
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}


def published(
    target: str, *, aws_conn_id: str | None = None, dimensions: Collection[str] | None = None
) -> Iterator[dict[str, str | None]]:
    """Yield the partitions that were published below a target, in no order, as they are found.

    It lists the bucket once, or walks once through the directories. It leaves out directories without the file,
    temporary files, other files, and directories whose name the kit would write differently.

    :param target: a directory, or a bucket's prefix, see `target_of`. One that doesn't exist yet has no partitions.
    :param aws_conn_id: the Airflow connection for an `s3://` target that names none itself
    :param dimensions: only partitions of these dimensions, in any order. Default: all
    :raises TargetError: if it can't be listed
    :raises StorageError: if the store refuses to list it, or there is no such bucket
    """
    read = _Directories(dimensions)
    for names in _directories(target, aws_conn_id, read):
        partition = read.partition(names)
        if partition is not None:
            yield partition


def parquet_files(
    target: str, dimensions: Collection[str], own: str, *, aws_conn_id: str | None = None
) -> Iterator[tuple[str, int]]:
    """Yield the Parquet files of all partitions of a lake except one, whoever wrote them, with their sizes, by name.

    The first takes a listing of one page, or of as many folders as a partition has dimensions.

    :param dimensions: partitions with other dimensions are another table
    :param own: the directory of the partition that is left out
    :return: paths, or URIs with the Airflow connection
    :raises TargetError: if the lake can't be listed
    :raises StorageError: if the store refuses to list it
    """
    read = _Directories(dimensions)
    for names, file, size in _parquet_files(target, aws_conn_id, read):
        directory = "/".join(names)
        if size and directory != own and read.partition(names) is not None:
            yield f"{root_of(target, aws_conn_id)}/{directory}/{file}", size


def root_of(target: str, aws_conn_id: str | None) -> str:
    """Return a target as the beginning of file names: an absolute path, or a URI with the Airflow connection."""
    place = target_of(target)
    if place is None:
        return str(Path(target).absolute())
    connection = place.connection or (aws_conn_id if place.scheme == "s3" else None)
    return place._replace(connection=connection or None).uri.rstrip("/")


class _Directories:
    """Reads the dimensions from names of directories, each name once."""

    def __init__(self, dimensions: Collection[str] | None) -> None:
        self._dimensions = None if dimensions is None else frozenset(dimensions)
        self._known: dict[str, tuple[str, str | None] | None] = {}

    def component(self, name: str) -> tuple[str, str | None] | None:
        """Return the dimension and the value that a directory stands for, `None` if for none."""
        if name not in self._known:
            self._known[name] = found = _component(name)
            if found is not None and self._dimensions is not None and found[0] not in self._dimensions:
                self._known[name] = None
        return self._known[name]

    def partition(self, names: list[str]) -> dict[str, str | None] | None:
        """Return the partition that directories within each other stand for, `None` if for none."""
        found = [self.component(name) for name in names]
        partition = dict(one for one in found if one is not None)
        if not partition or len(partition) < len(names):
            return None
        return partition if self._dimensions is None or self._dimensions == partition.keys() else None


def _component(name: str) -> tuple[str, str | None] | None:
    if "=" not in name:
        return None
    try:
        partition = parse_partition_key(name)
        # What is spelled otherwise is another directory than the one that is written to.
        if partition_key(partition) != name:
            return None
    except PartitionError:
        return None
    ((dimension, value),) = partition.items()
    return dimension, value


def _parquet_files(
    target: str, aws_conn_id: str | None, read: _Directories
) -> Iterator[tuple[list[str], str, int]]:
    """Give the directories, the name and the size of Parquet files, in the order of their paths."""
    place = target_of(target)
    if place is None:
        for folder, names, file in _on_disk(Path(target).absolute(), read, _is_parquet):
            # It may be replaced meanwhile.
            with suppress(FileNotFoundError):
                yield names, file, Path(folder, file).stat().st_size
    elif place.scheme == "s3":
        connection = place.connection or aws_conn_id
        with s3_errors(connection, place.bucket, f"list {place}"):
            for entry in listed(s3_client(connection), place.bucket, place.key):
                *names, file = entry["Key"][len(place.key) :].split("/")
                if _is_parquet(file):
                    yield names, file, entry["Size"]
    else:
        yield from _folder_by_folder(place, [], read)


def _folder_by_folder(
    place: Uri, names: list[str], read: _Directories
) -> Iterator[tuple[list[str], str, int]]:
    """Yield files folder by folder, because a listing of a whole large lake would take too long."""
    folder = "/".join([place.uri.rstrip("/"), *names])
    with errors(place, "list"):
        found = other_files.entries(folder)
    for name, size in sorted(found.items()):
        if size is not None and _is_parquet(name):
            yield names, name, size
        elif size is None and read.component(name) is not None:
            yield from _folder_by_folder(place, [*names, name], read)


def _tells_a_partition(name: str) -> bool:
    return name == FILE_NAME or _FIRST_OF_SEVERAL.fullmatch(name) is not None


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet")


def _directories(target: str, aws_conn_id: str | None, read: _Directories) -> Iterator[list[str]]:
    place = target_of(target)
    if place is None:
        for folder, names, file in _on_disk(Path(target).absolute(), read, _tells_a_partition):
            with suppress(FileNotFoundError):
                if Path(folder, file).stat().st_size:
                    yield names
        return
    for name in _on_s3(place, aws_conn_id) if place.scheme == "s3" else _elsewhere(place):
        *names, file = name.split("/")
        if _tells_a_partition(file):
            yield names


def _on_s3(place: Uri, aws_conn_id: str | None) -> Iterator[str]:
    connection = place.connection or aws_conn_id
    with s3_errors(connection, place.bucket, f"list {place}"):
        for entry in listed(s3_client(connection), place.bucket, place.key):
            if entry["Size"]:
                yield entry["Key"][len(place.key) :]


def _elsewhere(place: Uri) -> Iterator[str]:
    root = place.uri.rstrip("/")
    with errors(place, "list"):
        found = other_files.sizes(root)
    if not found:
        # To some of them a bucket that isn't there is an empty one.
        check_bucket(place, "list")
    for name, size in found.items():
        if size:
            yield name[len(root) + 1 :]


def _on_disk(
    root: Path, read: _Directories, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, list[str], str]]:
    """Give the files whose names are wanted, in the order of their paths, and the directories that they lie in."""
    todo: list[tuple[str, list[str]]] = [(str(root), [])]
    while todo:
        folder, names = todo.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
            for entry in entries:
                if wanted(entry.name) and entry.is_file():
                    yield folder, names, entry.name
                elif _goes_on(entry, names, read):
                    todo.append((entry.path, [*names, entry.name]))
        except FileNotFoundError:
            # The target was never written to; or somebody removes a partition right now.
            continue
        except OSError as error:
            raise _unlisted(folder, error) from error


def _goes_on(entry: os.DirEntry[str], names: list[str], read: _Directories) -> bool:
    """Tell whether an entry of a folder in these directories can contain partitions."""
    if read.component(entry.name) is None:
        return False
    # No dimension is there twice, so that not even links go round in circles.
    dimension = f"{entry.name.partition('=')[0]}="
    return not any(name.startswith(dimension) for name in names) and entry.is_dir()


def _unlisted(folder: str, error: OSError) -> Exception:
    if error.errno in PASSING:
        return error
    return TargetError(
        f"can't list {folder!r}: {error.strerror}. Check the target, and that the worker's user may read it. "
        "Partitions that can't be listed don't count as missing"
    )
