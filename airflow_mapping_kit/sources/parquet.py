"""Rows of Parquet files as plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.sources.arrow import pyarrow
from airflow_mapping_kit.sources.arrow_values import NoJsonError, check_type, values_of
from airflow_mapping_kit.sources.columns import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# So many rows are in memory at a time.
_AT_ONCE = 1_000
# And so many bytes of each column: not all of it that a row group has.
_BLOCK = 1 << 18


def parquet_rows(
    content: BinaryIO, name: str, *, columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, with dates and times as ISO 8601 text, and decimals and UUIDs as text.

    :param content: a file that can be read at any position
    :param name: the name of the file in errors
    :param columns: only these columns; the others are not even read
    :raises SourceError: if it is not a Parquet file, or if JSON can't have a column's type or a value. It names the
        column and the row
    """
    arrow = pyarrow(f"The Parquet file {name}")
    import pyarrow.parquet as pq

    done = 0
    try:
        file = pq.ParquetFile(content, pre_buffer=False, buffer_size=_BLOCK)
        kept, _ = chosen(file.schema_arrow.names, columns, name)
        for column in kept:
            check_type(file.schema_arrow.field(column).type, f"{name}: the column {column!r}")
        for batch in file.iter_batches(_AT_ONCE, columns=list(kept), use_threads=False):
            read = [
                _column(batch.column(column), f"{name}, row {{:,}}: the column {column!r}", done)
                for column in kept
            ]
            for values in zip(*read, strict=True):
                yield dict(zip(kept, values, strict=True))
            done += batch.num_rows
    except (arrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise SourceError(
            f"{name} can't be read as Parquet, after row {done:,}: {one_line(error).rstrip('. ')}. It is "
            "incomplete, or its name doesn't match its content: write it again, or rename it."
        ) from error


def _column(array: Any, where: str, done: int) -> list[Any]:
    try:
        return values_of(array)
    except (NoJsonError, ValueError, OverflowError):
        # Which row it is, one at a time tells.
        for row in range(len(array)):
            _check(array.slice(row, 1), where.format(done + row + 1))
        raise


def _check(one: Any, where: str) -> None:
    try:
        values_of(one)
    except NoJsonError as error:
        raise SourceError(f"{where} {error}") from None
    except (ValueError, OverflowError) as error:
        raise SourceError(
            f"{where} contains a value that can't be read as {one.type}: {one_line(error)}. Write it as text, or "
            "leave it out with columns=[...]."
        ) from error
