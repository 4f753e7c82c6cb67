"""Which pieces of a run are meant: by key, by label, or by a selection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure, near
from airflow_mapping_kit.cli.pieces import is_failure
from airflow_mapping_kit.exceptions import PartitionError, SelectionError
from airflow_mapping_kit.partitions.keys import components
from airflow_mapping_kit.partitions.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.pieces import Told

# By what equal keys are told apart.
_NUMBER = re.compile(r"#\d+\Z")

Row = tuple[str, dict[str, Any]]


def failed_pieces(told: Sequence[Told], keys: Sequence[str], run_state: str) -> list[Row]:
    """Return the pieces that keys, labels and selections stand for and that failed, as task and row.

    :param keys: a key or a label where any piece has just that; else a selection of dimensions.
    :raises Failure: if there is none of a key, or none of it that failed.
    """
    rows = [(one.task, row) for one in told for row in one.rows]
    found: list[Row] = []
    for key in keys:
        named = [(task, row) for task, row in rows if key in (row["key"], row["label"])]
        named = named or _selected(rows, key)
        if not named:
            known = [name for _, row in rows for name in (row["key"], row["label"]) if name is not None]
            names = ", ".join(one.task for one in told)
            raise Failure(f"No piece of {names} has the key {key!r}.{near(key, known)}")
        failed = [(task, row) for task, row in named if is_failure(row["state"], run_state)]
        if not failed:
            raise Failure(_said_of_none(key, named))
        found += failed
    return found


def _selected(rows: Sequence[Row], text: str) -> list[Row]:
    """Return the pieces that a selection has, none where it is about no dimension: a label that is mistyped is none."""
    if "=" not in text:
        return []
    partitions = [(one, _partition(one[1]["key"])) for one in rows]
    names = dict.fromkeys(name for _, partition in partitions for name in partition)
    try:
        selection = Selection.parse(text)
        selection.check(names)
    except SelectionError as error:
        raise Failure(f"No piece has the key {text!r}, and {error}.{near(text, _keys(rows))}") from None
    return [
        one
        for one, partition in partitions
        if set(selection.names) <= partition.keys() and selection.matches(partition, one[1]["label"])
    ]


def _partition(key: str | None) -> dict[str, str | None]:
    """Return what a key says of each dimension; nothing where it is none of a partition, or not known."""
    try:
        return components(_NUMBER.sub("", key)) if key else {}
    except PartitionError:
        return {}


def _keys(rows: Sequence[Row]) -> list[str]:
    return [row["key"] for _, row in rows if row["key"] is not None]


def _said_of_none(key: str, named: Sequence[Row]) -> str:
    states = ", ".join(dict.fromkeys(str(row["state"]) for _, row in named))
    are = (
        f"{key} is in state {states}"
        if len(named) == 1
        else f"The {len(named):,} pieces of {key} are in state {states}"
    )
    return f"{are}, so there is nothing to retry: only what failed is run again."
