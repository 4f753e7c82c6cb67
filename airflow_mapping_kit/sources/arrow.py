"""pyarrow, which reads Parquet and zstd. Importing it takes hundreds of milliseconds and 40 MiB."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.exceptions import SourceError


def pyarrow(what: str) -> Any:
    """Return the module.

    :param what: what needs it, for the error: `"A .zst file"`
    :raises SourceError: if it isn't installed
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise SourceError(
            f"{what} is read by pyarrow, which isn't installed where this task runs: "
            f"pip install 'airflow-mapping-kit[parquet]'"
        ) from error
    return pa
