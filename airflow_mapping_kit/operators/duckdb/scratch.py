"""Space on the worker's own disk for what doesn't fit into memory and for what waits for its upload."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import conf

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.duckdb.claims import claimed_directory, remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Give a private directory in `[mapping_kit] scratch_folder`, by default in the system's folder for such.

    It is removed in the end; those of processes that were killed are removed when the next one starts.

    :raises TargetError: if the folder doesn't exist or can't be written to
    """
    folder = Path(conf.get("mapping_kit", "scratch_folder", fallback="") or tempfile.gettempdir())
    with ExitStack() as stack:
        try:
            remove_abandoned(folder)
            scratch = stack.enter_context(claimed_directory(folder))
        except OSError as error:
            raise TargetError(
                f"can't use {str(folder)!r} for temporary files: {error.strerror}. "
                f"Set [mapping_kit] scratch_folder to a folder that this worker can write to"
            ) from error
        yield scratch
