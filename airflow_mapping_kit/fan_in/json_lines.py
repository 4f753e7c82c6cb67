"""The rows of a fan-in as a file of JSON Lines in object storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, storage_path
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow.io.path import ObjectStoragePath

    from airflow_mapping_kit.results import Result


def rows(report: Mapping[str, Any]) -> Iterator[Result]:
    """Yield the rows of a report, wherever they are: in the report itself, or in the file that it names.

    :param report: what `collect` returned.
    :raises FanInError: if it has no rows, since they could be kept nowhere.

    Example: `sum(row["value"] for row in rows(report) if row["state"] == "success")`.
    """
    if "results" in report:
        yield from report["results"]
        return
    if "written_to" not in report:
        raise FanInError(
            "The report has no rows: they are too large for an XCom, and were written nowhere. Those of the pieces "
            'that failed are in report["failures"].'
        )
    file = storage_path(report["written_to"])
    with file.fs.open(file.path, "rb") as lines:
        yield from map(json.loads, lines)


def write(lines: Iterable[str], path: str, setting: str) -> str:
    """Write rows, a line each, replacing the file at once; return what it is called.

    :param lines: each row as JSON.
    :param setting: where the path is from, for errors: `write_to`.
    :raises FanInError: if no file can be named so, or nothing installed can write to such a place.
    :raises AirflowException: if it cannot be written. The results stay where they are, so that the task
        can be retried or cleared.
    """
    file = _file(path, setting)
    text = "".join(f"{line}\n" for line in lines)
    try:
        if file.protocol not in {"", "file"}:
            # An object is there when all of it was sent, or not at all.
            file.fs.pipe_file(file.path, text.encode())
            return str(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.unfinished")
        unfinished.write_text(text)
        # Not its own `replace`, which moves a file into a folder of that name.
        Path(unfinished.path).replace(file.path)
    except Exception as error:
        raise AirflowException(
            f"The results could not be written to {file}: {said(error_of(error))}. "
            f"None is lost: they are still in Airflow's XComs. Mend the place or the connection, "
            f"and clear this task alone."
        ) from error
    return str(file)


def _file(path: str, setting: str) -> ObjectStoragePath:
    # A relative path would be one from the root folder, for `ObjectStoragePath`.
    is_whole = "://" in path or path.startswith("/")
    if not is_whole or path.endswith("/") or Path(path.removeprefix("file://")).is_dir():
        raise FanInError(
            f"{setting}={path!r} names no file: give its whole path, one a run, "
            f"e.g. 's3://aws_default@reports/load/{{{{ run_id }}}}.jsonl'."
        )
    try:
        file = storage_path(path)
        file.fs  # noqa: B018 -- finds the implementation, or says that there is none
    except Exception as error:
        raise FanInError(
            f"{setting}={path!r} is no place that Airflow can write to: {said(error_of(error))}. Check the "
            f"scheme, and install what it needs, for s3:// apache-airflow-providers-amazon[s3fs]."
        ) from error
    return file
