"""What instances left of their batches, row by row: of one that has ended its part, of a killed one what it saved.

Whoever reads needs no more memory than a file's block or one chunk takes, however many rows there are.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from airflow_mapping_kit.checkpoints import chunks, files, xcoms
from airflow_mapping_kit.checkpoints.rows import DONE, once, row_of
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.reading.records import LEFT_KEY
from airflow_mapping_kit.storage import files as storage
from airflow_mapping_kit.storage.place import root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from airflow_mapping_kit.reading.instances import Reading
    from airflow_mapping_kit.results import ItemRow, PartSummary


def rows_of(
    part: PartSummary, read: Reading, dag_id: str, run_id: str, *, values: bool = True
) -> Iterator[ItemRow]:
    """Yield the row of every item of a part, once each, in about the order in which they ended.

    :param part: what the instance pushed, as `results.part_of` gives it.
    :param read: what reads XComs of the run.
    :param values: whether what the items returned is wanted; else it is `None`.
    :raises StorageError: if a row is not there any more.

    Example: of two items `{"item": 0, "key": "id=7", "state": "success", "value": 3, "error": None, "tries": 1,
    "duration_s": 0.1}`, and one more.
    """
    lines = _of_file(part["where"]) if _in_a_file(part) else _of_chunks(part, read, dag_id, run_id)
    found = 0
    for row in once(row_of(line, values=values) for line in lines):
        found += 1
        yield row
    if found != part["count"]:
        raise StorageError(
            f"Of the {part['count']:,} results of map index {part['map_index']} only {found:,} are where they were "
            f"kept, {part['where']}: somebody has deleted some of them. Clear that instance."
        )


def failed_rows_of(part: PartSummary, read: Reading, dag_id: str, run_id: str) -> Iterator[ItemRow]:
    """Yield the rows of a part that say of no success and were not skipped; of a part without such nothing is read.

    :raises StorageError: if they are not there any more.
    """
    if all(state in DONE for state in part["states"]):
        return
    if not _in_a_file(part):
        lines: Iterator[str | bytes] = _of_chunks(part, read, dag_id, run_id, failed_only=True)
    elif part["failed_in"] is not None:
        lines = _of_file(part["failed_in"])
    else:
        lines = _of_file(part["where"])
    yield from (row for row in once(map(row_of, lines)) if row["state"] not in DONE)


def left_by(
    read: Reading, declared: Any, *, run_id: str, map_index: int, max_tries: int
) -> Iterator[ItemRow]:
    """Yield what an instance had saved that pushed no results, since it was killed: each item once, done ones first.

    :param read: what reads XComs of the run.
    :param declared: its operator, as the DAG keeps it, declared or serialized.
    """
    dag_id, task_id = declared.dag.dag_id, declared.task_id
    if root() is not None:
        lines: Iterator[str | bytes] = files.left_by(dag_id, run_id, task_id, map_index, max_tries)
    elif AIRFLOW_3:
        lines = _left_among_its_own(read, dag_id, run_id, task_id, map_index)
    else:
        lines = xcoms.left_by(declared, run_id=run_id, map_index=map_index, max_tries=max_tries)
    return once(map(row_of, lines))


def _in_a_file(part: PartSummary) -> bool:
    return "chunks" not in part


def _of_file(uri: str) -> Iterator[bytes]:
    try:
        yield from storage.lines(uri)
    except FileNotFoundError:
        raise StorageError(
            f"{uri}, which has the results of an instance, is not there any more: somebody has deleted it, or the "
            f"instance runs again. Clear that instance, or wait for it."
        ) from None


def _of_chunks(
    part: PartSummary, read: Reading, dag_id: str, run_id: str, *, failed_only: bool = False
) -> Iterator[str]:
    for failed in (True,) if failed_only else (False, True):
        for one in map(chunks.Chunks._make, part["chunks"]):
            for key in one.keys(failed=failed):
                text = read.xcom(dag_id, run_id, one.task_id, one.map_index, key)
                if text is None:
                    raise StorageError(
                        f"The XCom {key} of {one.task_id}, which has results of map index {part['map_index']}, is not "
                        f"there any more: somebody has deleted it, or the instance runs again. Clear that instance, "
                        f"or wait for it."
                    )
                yield from chunks.lines_of(text)


def _left_among_its_own(
    read: Reading, dag_id: str, run_id: str, task_id: str, map_index: int
) -> Iterator[str]:
    own = chunks.Chunks(task_id, map_index, f"{LEFT_KEY}/", 0, 0, [])
    for failed in (False, True):
        for number in count():
            text = read.xcom(dag_id, run_id, task_id, map_index, own.key(number, failed=failed))
            if text is None:
                break
            yield from chunks.lines_of(text)
