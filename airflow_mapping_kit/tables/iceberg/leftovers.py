"""What tries of a run have staged for an Iceberg table and nobody has published."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyiceberg.io import FileIO

    from airflow_mapping_kit.tables.iceberg.history import History

log = logging.getLogger(__name__)


def remove_leftovers(io: FileIO, folder: str, published: Collection[str], history: History) -> int:
    """Delete the files below a folder that were not published, and that no snapshot of the table knows.

    :param folder: where this run stages, as a URI: nobody else writes there
    :param published: of these the run's instances say that they are theirs
    :param history: of the table as it is now
    :return: how many it deleted
    """
    found = _listed(io, folder) - set(published)
    left = history.unknown(found) if found else found
    removed = sum(_is_removed(io, location) for location in left)
    if removed:
        log.info("Removed %d files that earlier tries had left below %s", removed, folder)
    return removed


def _is_removed(io: FileIO, location: str) -> bool:
    try:
        io.delete(location)
    except FileNotFoundError:
        return False
    except OSError as error:
        # They harm nobody: what is published is no reason to fail.
        log.warning("%s, left by an earlier try, can't be removed: %s", location, error)
        return False
    return True


def _listed(io: FileIO, folder: str) -> set[str]:
    # pyiceberg's storage can't list; what it is made of can.
    if isinstance(io, PyArrowFileIO):
        return _listed_by_pyarrow(io, folder)
    if isinstance(io, FsspecFileIO):
        return _listed_by_fsspec(io, folder)
    log.warning("What earlier tries left below %s stays: a %s can't list files", folder, type(io).__name__)
    return set()


def _listed_by_pyarrow(io: PyArrowFileIO, folder: str) -> set[str]:
    from pyarrow.fs import FileSelector

    scheme, bucket, path = io.parse_location(folder, io.properties)
    selector = FileSelector(path, allow_not_found=True, recursive=True)
    start = folder.removesuffix(path)
    return {
        f"{start}{info.path}"
        for info in io.fs_by_scheme(scheme, bucket).get_file_info(selector)
        if info.is_file
    }


def _listed_by_fsspec(io: FsspecFileIO, folder: str) -> set[str]:
    scheme, _, rest = folder.partition("://")
    system = io.get_fs(scheme or "file", rest.partition("/")[0])
    # With what is below the folder only: each file system writes the rest in its own way.
    _, _, name = folder.rpartition("/")
    return {f"{folder}/{path.rpartition(f'/{name}/')[2]}" for path in system.find(folder)}
