"""A report by reference: rows in XComs of instances stay there, and all other rows are in XComs of the fan-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in.lines import line_of
from airflow_mapping_kit.outcomes.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.outcomes.states import Outcome

_PREFIX = "mapping_kit_rows/"
# Of one XCom, and of all: a database is no place for more.
_CHUNK_BYTES = 128 * 1024
_MOST_BYTES = 64 * 2**20


def keep(found: Outcome, *, values: bool, instance: Any) -> dict[str, Any]:
    """Store the rows of a report that is too large for one XCom, and return where they are.

    :param values: whether the rows have the values of the pieces.
    :param instance: the instance of the fan-in.
    :raises FanInError: if there are too many rows that no instance has stored.
    """
    parts = [(share, part) for share in found.shares if isinstance(share, Part) and (part := share.as_it_is)]
    own = 0
    for text in _chunks(found, values=values):
        instance.xcom_push(f"{_PREFIX}{own}", text)
        own += 1
    return {
        "dag_id": instance.dag_id,
        "run_id": instance.run_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "values": values,
        "prefix": _PREFIX,
        "own": own,
        # What it takes to read them, and no more: there may be a thousand.
        "kept": [
            {
                **share.reference(part),
                "where": part["where"],
                **({"chunks": part["chunks"]} if "chunks" in part else {}),
            }
            for share, part in parts
        ],
    }


def _chunks(found: Outcome, *, values: bool) -> Iterator[str]:
    lines: list[str] = []
    size = total = 0
    for share in found.shares:
        if isinstance(share, Part) and share.as_it_is is not None:
            continue
        for row in share.rows():
            line = line_of(row, values=values)
            if lines and size + len(line) > _CHUNK_BYTES:
                yield "\n".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line) + 1
            total += len(line) + 1
            if total > _MOST_BYTES:
                raise FanInError(
                    f"The rows of the report have more than {_MOST_BYTES // 2**20} MiB, too much for Airflow's "
                    "XComs. Set a place for large reports: for all DAGs [mapping_kit] storage = "
                    "s3://aws_default@bucket/kit, for this one collect(..., "
                    f"write_to='s3://aws_default@bucket/{{{{ run_id }}}}.jsonl'). Or leave out what the pieces "
                    "returned: collect(..., values=False)."
                )
    if lines:
        yield "\n".join(lines)
