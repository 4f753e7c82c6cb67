"""The items of a plan as a file of JSON Lines, if the deployment has storage."""

from __future__ import annotations

import re
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.storage import files
from airflow_mapping_kit.storage.place import folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_NAME = re.compile(r"plan-[0-9a-f]{32}\.jsonl")


class PlanFile:
    """Writes lines to a file.

    :param where: its URI.
    """

    def __init__(self, where: str, file: BinaryIO) -> None:
        self.where = where
        self._write, self._size = file.write, 0

    def add(self, line: str) -> tuple[int, int]:
        """Write a line; return the byte at which it begins, and the byte at which the next one begins."""
        start = self._size
        self._size += self._write(f"{line}\n".encode("ascii"))
        return start, self._size


@contextmanager
def plan_file(task_instance: Any) -> Iterator[PlanFile]:
    """Yield a new file for the items of a plan. It is visible as a whole or not at all.

    It has a new name, so that no byte range of an older plan can refer to it. When it is complete, older files of the
    same task and run are deleted, because Airflow deleted the XComs that refer to them when the task began. Newer files
    stay: this process may have been frozen, and another one may work on the task now.

    :param task_instance: that of the running task that makes the plan.
    :raises StorageError: if there is no storage, or it can't be written.
    """
    place = folder(task_instance.dag_id, task_instance.run_id, task_instance.task_id)
    name = f"plan-{int(time.time() * 1000):012x}{uuid.uuid4().hex[:20]}.jsonl"
    where = f"{place}/{name}"

    def is_older(other: str) -> bool:
        return _NAME.fullmatch(other) is not None and other < name

    with files.whole(where) as file:
        yield PlanFile(where, file)
    files.delete(*(uri for uri in files.listed(place) if is_older(uri.rpartition("/")[2])))
    files.forget_unfinished(place, is_older)
