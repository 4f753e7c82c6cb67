"""The items of a plan as a file of JSON Lines, where the deployment has a place for such."""

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
        """Write a line; return at which byte it begins, and at which the next one does."""
        start = self._size
        self._size += self._write(f"{line}\n".encode("ascii"))
        return start, self._size


@contextmanager
def plan_file(task_instance: Any) -> Iterator[PlanFile]:
    """Give a new file for the items of a plan, which is there as a whole or not at all.

    It has a name of its own, so that no byte range of an older plan is ever one of this. What the same task of the
    same run began before goes when this is there: Airflow has deleted what referred to it when the task began. What it
    began later stays: this may be a process that froze, and comes back after its work was given to another.

    :param task_instance: that of the running task that makes the plan.
    :raises StorageError: if there is no place, or it can't be written.
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
