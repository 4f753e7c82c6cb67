"""Compressed files, unpacked as they are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.sources.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _zstd(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", pyarrow("A .zst file").CompressedInputStream(raw, "zstd"))


_READERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _zstd,
}


@contextmanager
def unpacked(raw: BinaryIO, compression: str | None, name: str) -> Iterator[BinaryIO]:
    """Return the content of a file, unpacked as it is read.

    :param compression: `"gzip"`, `"bz2"`, `"xz"`, `"zstd"`, or `None` for a file that isn't compressed
    :param name: the name of the file in errors
    :raises SourceError: if it isn't compressed in this way, or is incomplete; for zstd, if pyarrow is missing
    """
    if compression is None:
        yield raw
        return
    try:
        with _READERS[compression](raw) as content:
            yield content
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        # What gzip, bz2 and pyarrow raise of broken files is an OSError too, but none with a number as of a disk.
        if getattr(error, "errno", None) is not None:
            raise
        raise SourceError(
            f"{name} can't be unpacked as {compression}: {one_line(error).rstrip('. ')}. It is incomplete, or its "
            "name doesn't match its content: write it again, or rename it."
        ) from error
