"""The rows of a report, wherever they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, get_current_context
from airflow_mapping_kit.exceptions import FanInError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.reading.instances import Reading
    from airflow_mapping_kit.results import Result


def rows(report: Mapping[str, Any]) -> Iterator[Result]:
    """Yield the rows of a report, wherever they are: in the report, in files that it names, or among Airflow's XComs.

    It reads one row after the other, so a million rows take no more memory than one. It works in a task and outside.
    Outside a task it needs Airflow's database to read rows among the XComs.

    :param report: what `collect` returned.
    :raises FanInError: if the rows could not be stored anywhere, or no longer exist.

    Example: `sum(row["value"] for row in rows(report) if row["state"] == "success")`.
    """
    if "results" in report:
        yield from report["results"]
    elif "parts" in report:
        yield from _among_xcoms(report["parts"])
    elif "written_to" in report:
        yield from _in_files(report["written_to"])
    else:
        raise FanInError(
            "The report has no rows: they are too large for an XCom, and were not stored. The rows of failed "
            'pieces are in report["failures"].'
        )


def _in_files(uri: str) -> Iterator[Result]:
    from airflow_mapping_kit.fan_in.lines import of_part, with_connection

    lines = _lines(uri)
    first = next(lines, None)
    if first is None:
        return
    top = json.loads(first)
    if "files" not in top:
        # The file that `write_to` named: each line is a row.
        yield top
        yield from map(json.loads, lines)
        return
    for name, part in zip(top["files"], top["parts"], strict=True):
        where = with_connection(name, uri)
        if part["map_index"] is not None:
            yield from _of_instance({**part, "where": where}, top)
            continue
        number = 0
        for number, line in enumerate(_lines(where), 1):  # noqa: B007 -- counted on
            yield of_part(json.loads(line), None, values=top["values"])
        if number != part["count"]:
            raise FanInError(
                f"{where} has {number:,} rows, and {uri} says that it had {part['count']:,}: something has changed it."
            )


def _of_instance(part: Any, of: Mapping[str, Any]) -> Iterator[Result]:
    """Yield the rows of an instance, of which the report has only the place."""
    # Files are read without Airflow, and know no run.
    from airflow_mapping_kit.checkpoints.parts import rows_of
    from airflow_mapping_kit.fan_in.lines import of_part
    from airflow_mapping_kit.reading import tables

    read = _reading() if "chunks" in part else tables
    try:
        for row in rows_of(part, read, of.get("dag_id", ""), of.get("run_id", ""), values=of["values"]):
            yield of_part(row, part["map_index"], values=of["values"], counted=part["counted"])
    except StorageError as error:
        raise FanInError(str(error)) from error


def _lines(uri: str) -> Iterator[bytes]:
    from airflow_mapping_kit.storage import files

    try:
        yield from files.lines(uri)
    except FileNotFoundError:
        raise FanInError(
            f"{uri}, which has rows of the report, no longer exists: somebody deleted it, or the task that wrote it "
            "was cleared and runs again."
        ) from None


def _among_xcoms(of: Mapping[str, Any]) -> Iterator[Result]:
    from airflow_mapping_kit.fan_in.lines import of_part

    for part in of["kept"]:
        yield from _of_instance(part, of)
    read = _reading()
    for number in range(of["own"]):
        key = f"{of['prefix']}{number}"
        text = read.xcom(of["dag_id"], of["run_id"], of["task_id"], of["map_index"], key)
        if text is None:
            raise FanInError(
                f"The XCom {key} of {of['task_id']}, which has rows of its report, no longer exists: the task was "
                "cleared, or somebody cleaned Airflow's database."
            )
        for line in text.split("\n"):
            yield of_part(json.loads(line), None, values=of["values"])


def _reading() -> Reading:
    from airflow_mapping_kit.reading import of_task, tables

    if not AIRFLOW_3:
        return tables
    try:
        instance: Any = get_current_context()["ti"]
    except Exception:  # noqa: BLE001 -- no task is running: whoever asks is beside the database
        return tables
    return of_task(instance)
