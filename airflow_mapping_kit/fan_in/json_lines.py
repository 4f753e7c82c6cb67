"""The rows of a fan-in as a file of JSON Lines in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import FanInError, SchemeError
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.storage import files

if TYPE_CHECKING:
    from collections.abc import Iterable


def write(lines: Iterable[str], path: str, setting: str) -> str:
    """Write rows as they come, a line each, and replace the file in one step; return its URI.

    :param lines: each row as JSON.
    :param setting: the name of the setting with the path, for errors: `write_to`.
    :raises FanInError: if the path is not valid, or nothing that is installed can write there. Errors of `lines`
        are passed on.
    :raises AirflowException: if it can't be written. The results of the pieces stay, so the task
        can be retried or cleared.
    """
    # A relative path would be one from the root folder in object storage.
    is_whole = "://" in path or path.startswith("/")
    if not is_whole or path.endswith("/") or Path(path.removeprefix("file://")).is_dir():
        raise FanInError(
            f"{setting}={path!r} names no file: give its whole path, a different one for each run, e.g. "
            f"'s3://aws_default@reports/load/{{{{ run_id }}}}.jsonl'."
        )
    try:
        with files.whole(path) as file:
            for line in lines:
                file.write(line.encode() + b"\n")
    except FanInError:  # of the rows themselves
        raise
    except SchemeError as error:
        raise FanInError(f"{setting}={path!r} can't be written to: {error}.") from error
    except Exception as error:
        raise AirflowException(
            f"The results could not be written to {path}: {said(error_of(error))}. No result is lost: the instances "
            "still have theirs. Correct the path or the connection, and clear only this task."
        ) from error
    return path
