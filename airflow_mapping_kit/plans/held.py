"""The items of a slice, read part by part from where they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.plans.chunks import chunk_key, maker_and_plan
from airflow_mapping_kit.plans.lines import item_of
from airflow_mapping_kit.plans.slices import XCOMS, Slice
from airflow_mapping_kit.storage import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.reading.instances import Reading


def items_of(held: Slice, read: Reading, dag_id: str, run_id: str) -> Iterator[tuple[int, Any]]:
    """Yield the items of a slice with their numbers in the plan, from 0.

    :param read: reads XComs of the run: `reading.of_task(ti)`, or `reading.tables` with the database.
    :raises StorageError: if they no longer exist, or have changed since the plan was made.

    Example: of the second of slices of two items these are `(2, {"id": 7})` and `(3, {"id": 9})`.
    """
    if held.count == 0:
        return
    of_xcoms = held.where.startswith(XCOMS)
    lines: Iterator[str | bytes] = _of_chunks(held, read, dag_id, run_id) if of_xcoms else _of_file(held)
    number = held.first
    for line in lines:
        if number == held.first + held.count:
            raise _not_the_plan(held, "there are more")
        try:
            item = item_of(line)
        except Exception as error:
            raise _not_the_plan(held, f"item {number + 1:,} of the plan can't be read") from error
        yield number, item
        number += 1
    if number != held.first + held.count:
        raise _not_the_plan(held, f"there are {number - held.first:,}")


def batch_of(value: Any, read: Reading, dag_id: str, run_id: str) -> Any:
    """Return a batch as a list, if it is a list or a slice; anything else as it is.

    :raises StorageError: as `items_of`.
    """
    held = Slice.of(value)
    return value if held is None else [item for _, item in items_of(held, read, dag_id, run_id)]


def _of_file(held: Slice) -> Iterator[str | bytes]:
    # Of a file that was cut off, half a number is a number as well: each line waits until another follows.
    size, before = 0, None
    try:
        for line in files.lines(held.where, held.start, held.end):
            if before is not None:
                yield before
            size, before = size + len(line) + 1, line
    except FileNotFoundError:
        raise _gone(held) from None
    if before is None or size != held.end - held.start:
        raise _not_the_plan(held, "the rest is missing")
    yield before


def _of_chunks(held: Slice, read: Reading, dag_id: str, run_id: str) -> Iterator[str | bytes]:
    maker, plan = maker_and_plan(held.where)
    for number in range(held.start, held.end):
        chunk = read.xcom(dag_id, run_id, maker, -1, chunk_key(plan, number))
        if chunk is None:
            raise _gone(held)
        if not isinstance(chunk, dict) or not isinstance(chunk.get("lines"), str):
            raise _not_the_plan(held, f"its XCom {chunk_key(plan, number)} is not part of a plan")
        first = chunk["first"]
        # A slice may begin and end within a chunk.
        begin, end = max(held.first - first, 0), held.first + held.count - first
        yield from chunk["lines"].split("\n")[begin:end]


def _gone(held: Slice) -> StorageError:
    return StorageError(
        f"The plan {held.where} no longer exists: the task that made it has run again, or somebody deleted it. "
        "Clear the task that made it with everything downstream."
    )


def _not_the_plan(held: Slice, what: str) -> StorageError:
    place = f"chunks {held.start:,}" if held.where.startswith(XCOMS) else f"bytes {held.start:,}"
    return StorageError(
        f"{held.where} has changed since the plan was made: its {place} to {held.end - 1:,} should have "
        f"{held.count:,} items, but {what}. Clear the task that made it with everything downstream."
    )
