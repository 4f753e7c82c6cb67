"""A report in files: the files of the instances stay where they are, and a manifest lists them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in import json_lines
from airflow_mapping_kit.fan_in.lines import line_of, without_connection
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.storage import files
from airflow_mapping_kit.storage.place import folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.outcomes.states import Outcome
    from airflow_mapping_kit.results import PartSummary, Result

# Where a part says that it is that is in no file.
IN_XCOMS = "xcom"
_SETTING = "[mapping_kit] storage"


def write(
    found: Outcome, summary: Mapping[str, Any], failures: Iterator[Result], *, values: bool, instance: Any
) -> dict[str, str]:
    """Write the manifest of a report, and write the rows that no instance has written into files of its own.

    These are the rows of pieces that are not batches, of instances that were killed or marked by a person, and of
    groups with several tasks. Rows that are in a file already are not copied, except those of failed pieces.

    :param summary: what the report says of all rows.
    :param failures: the rows of what failed.
    :param values: whether the rows have the values of the pieces.
    :param instance: the instance of the fan-in.
    :return: `{"written_to": <the manifest>, "failed_in": <a file with the rows of failed pieces>}`.
    :raises FanInError: if a file of an instance is missing or has changed.
    """
    home = folder(instance.dag_id, instance.run_id, instance.task_id)
    if instance.map_index >= 0:
        home = f"{home}/{instance.map_index}"
    parts = [
        (share, part)
        for share in found.shares
        if isinstance(share, Part) and (part := share.as_it_is) and part["where"] != IN_XCOMS
    ]
    _check([part for _, part in parts])
    listed: list[tuple[str, dict[str, Any]]] = [
        (part["where"], share.reference(part)) for share, part in parts
    ]
    listed_already = {id(share) for share, _ in parts}
    own = [share for share in found.shares if id(share) not in listed_already]
    if own:
        number = 0

        def lines() -> Iterator[str]:
            nonlocal number
            for share in own:
                for row in share.rows():
                    number += 1
                    yield line_of(row, values=values)

        name = json_lines.write(lines(), f"{home}/rows.jsonl", _SETTING)
        listed.append((name, {"map_index": None, "count": number, "counted": True}))
    failed_in = f"{home}/failed.jsonl"
    written: dict[str, str] = {}
    # Of another try of this task, which had to write more.
    stale = [] if own else [f"{home}/rows.jsonl"]
    if found.tally.failed:
        written["failed_in"] = json_lines.write(
            (line_of(row, values=values) for row in failures), failed_in, _SETTING
        )
    else:
        stale.append(failed_in)
    manifest = {
        **summary,
        "values": values,
        "files": [without_connection(uri, home) for uri, _ in listed],
        "failed_in": without_connection(failed_in, home) if written else None,
        "parts": [of for _, of in listed],
    }
    written["written_to"] = json_lines.write([json.dumps(manifest)], f"{home}/manifest.json", _SETTING)
    if stale:
        files.delete(*stale)
    # Of a try of this task that was killed.
    files.forget_unfinished(home, {"rows.jsonl", "failed.jsonl", "manifest.json"}.__contains__)
    return written


def _check(parts: list[PartSummary]) -> None:
    """Check that the files exist: it lists each folder, because a request for each file would take too long."""
    sizes: dict[str, int] = {}
    # An instance has a folder in that of its task.
    for above in {part["where"].rsplit("/", 2)[0] for part in parts}:
        sizes.update(files.sizes(above))
    for part in parts:
        size = sizes.get(part["where"])
        if size is None or size < part["bytes"]:
            there = "no longer exists" if size is None else f"has {size:,} bytes of {part['bytes']:,}"
            raise FanInError(
                f"The results of [{part['map_index']}] are lost: {part['where']} {there}. Somebody has deleted or "
                "changed it. Clear that instance with everything downstream; the other instances are not "
                "affected."
            )
