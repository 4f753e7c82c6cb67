"""Previews as a terminal shows them: which instances would be cleared, which runs started."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.clearing import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How instances of a preview are told apart: what was asked for, what has to run before it, what follows.
_PARTS = (("before", "comes before"), ("pieces", ""), ("after", "follows"))


def does_something(preview: dict[str, Any]) -> bool:
    """Tell whether anything would be cleared or started."""
    return bool(preview["instances"] or preview["starts"])


def as_rows(preview: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the instances that would be cleared: `[{"run_id", "task", "map_index", "was"}]`."""
    return [
        {"run_id": run["run"], "task": task, "map_index": index, "was": was}
        for run in preview["runs"]
        for part, _ in _PARTS
        for task, index, was, _ in run[part]
    ]


def summed(previews: Sequence[dict[str, Any]]) -> str:
    """Return what previews come to: `Clear 18 instances in 2 runs and start 1 run`."""
    instances = sum(preview["instances"] for preview in previews)
    runs = {run["run"] for preview in previews for run in preview["runs"]}
    starts = sum(len(preview["starts"]) for preview in previews)
    parts = [f"clear {counted(instances)} in {_runs(len(runs))}"] if instances else []
    parts += [f"start {_runs(starts)}"] if starts else []
    said = " and ".join(parts)
    return f"{said[:1].upper()}{said[1:]}"


def show(heading: str, previews: Sequence[dict[str, Any]], names: Mapping[tuple[str, int], str]) -> None:
    """Print what would be cleared and started, and what has to be said of it.

    :param names: what pieces without a label are called, by run and map index.
    """
    output.say(heading)
    rows = [
        (
            run["run"],
            task,
            *((index, label or names.get((run["run"], index))) if index >= 0 else (None, None)),
            (was or "none").replace("_", " "),
            why,
        )
        for preview in previews
        for run in preview["runs"]
        for part, why in _PARTS
        for task, index, was, label in run[part]
    ]
    if rows:
        output.say("\nRun again:")
        output.table(("run", "task", "#", "piece", "was", ""), rows, number=("#",))
        pieces = [was for preview in previews for run in preview["runs"] for _, _, was, _ in run["pieces"]]
        states = Counter((was or "none").replace("_", " ") for was in pieces)
        said = ", ".join(f"{number:,} {state}" for state, number in states.items())
        output.say(f"\n{counted(len(pieces))} of pieces ({said}) and {len(rows) - len(pieces):,} more.")
    starts = [
        (one["run_id"], f"{one['pieces']:,}", _told(one["conf"]))
        for preview in previews
        for one in preview["starts"]
    ]
    if starts:
        output.say("\nStarted:")
        output.table(("run", "partitions", "told"), starts, number=("partitions",))
    for note in dict.fromkeys(note for preview in previews for note in preview["notes"]):
        output.say(f"\n{note}")


def _told(conf: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in conf.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"
