"""The report of a fan-in: its counts, and its rows where there is room for them."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in import json_lines
from airflow_mapping_kit.results import FAILURES, counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.results import Result

# More than the counts of a report, and where its rows are, ever take.
_BYTES_OF_COUNTS = 512
# What the folder is called that is made among the XComs.
_BESIDE_XCOMS = "mapping_kit_results"
# What names of files may hold as they are, and Airflow's own ids of runs do.
_SAFE = ":+~"


class Report(NamedTuple):
    """What a fan-in pushes, and why its rows could be kept nowhere, if so.

    The rows are among the pushed: as `results`; or in the file `written_to`, or lost to it, with those of the pieces
    that failed as `failures`.
    """

    pushed: dict[str, Any]
    trouble: FanInError | AirflowException | None


def made_of(results: Sequence[Result], *, values: bool, write_to: str | None, instance: Any) -> Report:
    """Return the report of a fan-in, and write its rows to a file where it is to have one, or needs one.

    :param results: the rows, which are plain JSON.
    :param values: whether the rows have the values of the pieces.
    :param write_to: the file, if the DAG's author named one.
    :param instance: the instance of the fan-in.
    """
    from airflow.configuration import conf

    rows = [{name: part for name, part in result.items() if values or name != "value"} for result in results]
    lines = [json.dumps(row, allow_nan=False) for row in rows]
    limit = conf.getint("mapping_kit", "max_result_kb", fallback=1024)
    room = limit * 1024 - _BYTES_OF_COUNTS
    # As Airflow writes it, with `, ` between the rows.
    size = sum(len(line) + 2 for line in lines)
    whole = {**counts(results), "results": rows}
    if write_to is None and size <= room:
        return Report(whole, None)
    failures = [row for row in rows if row["state"] in FAILURES]
    ends = accumulate(len(json.dumps(row)) + 2 for row in failures)
    first = [row for row, end in zip(failures, ends, strict=True) if end <= room]
    summary = {**counts(results), "failures": first}
    try:
        if write_to is not None:
            file = json_lines.write(lines, write_to, "write_to")
        else:
            file = json_lines.write(
                lines, _default_file(instance, size, limit), "[mapping_kit] results_folder"
            )
    except (FanInError, AirflowException) as error:
        return Report(whole if size <= room else summary, error)
    return Report({**summary, "written_to": file}, None)


def _default_file(instance: Any, size: int, limit: int) -> str:
    """Return where the rows of a fan-in go that are too large for an XCom.

    :param size: how large they are, in bytes.
    :param limit: how large they may be, in KiB.
    """
    from airflow.configuration import conf

    folder = conf.get("mapping_kit", "results_folder", fallback="").strip()
    # Where the deployment has its large XComs, if it has them in object storage: all its workers reach that.
    beside = conf.get("common.io", "xcom_objectstorage_path", fallback="").strip()
    folder = folder or (beside and f"{beside.rstrip('/')}/{_BESIDE_XCOMS}")
    if not folder:
        raise FanInError(
            f"The report has {size / 1024:,.0f} KiB, too much for an XCom ([mapping_kit] max_result_kb = {limit:,}). "
            f"Say where such reports go, for all DAGs by [mapping_kit] results_folder = "
            f"s3://aws_default@bucket/results, here by collect(..., write_to='s3://aws_default@bucket/"
            f"{instance.task_id}/{{{{ run_id }}}}.jsonl'); or leave out what the pieces returned: "
            f"collect(..., values=False)."
        )
    number = "" if instance.map_index < 0 else f".{instance.map_index}"
    names = (instance.dag_id, instance.run_id, f"{instance.task_id}{number}.jsonl")
    return "/".join([folder.rstrip("/"), *(quote(name, safe=_SAFE) for name in names)])
