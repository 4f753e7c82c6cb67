"""How a partition's rows are written: the options of DuckDB's `COPY` that an author may choose."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.duckdb.options import is_count, size_in_bytes

_CODECS = ("uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4", "lz4_raw")


@dataclass(frozen=True)
class Copying:
    """Options of `COPY ... (FORMAT parquet)`, by DuckDB's names; what is `None` is left to DuckDB.

    :param compression: `"zstd"`
    :param row_group_size: in rows
    :param file_size_bytes: a number of bytes, or such as `"100MB"`; then there may be several files
    :raises QueryError: naming the one that can't be
    """

    compression: str | None = None
    row_group_size: int | None = None
    file_size_bytes: int | str | None = None

    def __post_init__(self) -> None:
        """Check them all."""
        codec = self.compression
        if codec is not None and (not isinstance(codec, str) or codec.lower() not in _CODECS):
            raise QueryError(
                f"compression={codec!r} is none of {', '.join(map(repr, _CODECS))}: write one of them"
            )
        if self.row_group_size is not None and not is_count(self.row_group_size):
            raise QueryError(
                f"row_group_size={self.row_group_size!r} is no number of rows: write such as 122880, DuckDB's default"
            )
        size = self.file_size_bytes
        if size is not None and not is_count(size_in_bytes(size) if isinstance(size, str) else size):
            raise QueryError(
                f"file_size_bytes={size!r} is no size: write a number of bytes, or such as '100MB'"
            )

    def options(self, compression: str | None = None) -> str:
        """Return them as `COPY` takes them, commas in between.

        :param compression: what takes the place of DuckDB's own default
        """
        codec = self.compression or compression
        # Without USE_TMP_FILE false DuckDB would write beside the file that is held, and rename over it.
        several = self.file_size_bytes is not None
        how = f"FILENAME_PATTERN 'data_{{i}}_{uuid.uuid4().hex}'" if several else "USE_TMP_FILE false"
        given = {
            "COMPRESSION": codec and codec.lower(),
            "ROW_GROUP_SIZE": self.row_group_size,
            "FILE_SIZE_BYTES": self.file_size_bytes
            if not isinstance(self.file_size_bytes, str)
            else f"'{self.file_size_bytes}'",
        }
        return how + "".join(f", {name} {value}" for name, value in given.items() if value is not None)
