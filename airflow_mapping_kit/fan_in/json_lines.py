"""The rows of a fan-in as a file of JSON Lines in object storage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException, storage_path
from airflow_mapping_kit.exceptions import FanInError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.io.path import ObjectStoragePath

    from airflow_mapping_kit.results import Result


def target(path: str) -> ObjectStoragePath:
    """Return the file that `write_to` names.

    :raises FanInError: if no file can be named so, or nothing installed can write to such a place.
    """
    if not path.strip() or path.endswith("/"):
        raise FanInError(
            f"write_to={path!r} names no file: give its whole path, one a run, "
            f"e.g. 's3://aws_default@reports/load/{{{{ run_id }}}}.jsonl'."
        )
    try:
        file = storage_path(path)
        file.fs  # noqa: B018 -- finds the implementation, or says that there is none
    except Exception as error:
        raise FanInError(
            f"write_to={path!r} is no place that Airflow can write to: {error}. Check the scheme, and install "
            f"what it needs, for s3:// apache-airflow-providers-amazon[s3fs]."
        ) from error
    return file


def write(results: Iterable[Result], file: ObjectStoragePath) -> None:
    """Write one row a line, replacing the file at once.

    :raises AirflowException: if it cannot be written. The results stay where they are, so that the task
        can be retried or cleared.
    """
    from airflow.utils.json import XComEncoder

    lines = "".join(f"{json.dumps(row, cls=XComEncoder)}\n" for row in results)
    try:
        if file.protocol not in {"", "file"}:
            # An object is there when all of it was sent, or not at all.
            file.write_text(lines)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.unfinished")
        unfinished.write_text(lines)
        unfinished.replace(file)
    except Exception as error:
        raise AirflowException(
            f"The results could not be written to {file}: {type(error).__name__}: {error}. "
            f"None is lost: they are still in Airflow's XComs. Mend the place or the connection, "
            f"and clear this task alone."
        ) from error
