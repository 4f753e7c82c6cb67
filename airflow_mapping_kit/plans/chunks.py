"""The items of a plan as XComs of the task that makes it, if there is no storage.

Airflow deletes them when the task runs again, and with its own cleaning.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.plans.slices import XCOMS

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a chunk has at most, or one item.
_MOST_BYTES = 128 * 1024


class Chunks:
    """Pushes lines as XComs of a running task, many in each.

    :param task_instance: whose.
    """

    def __init__(self, task_instance: Any) -> None:
        self._instance = task_instance
        # A plan that is made again is another one: nobody reads a part of this and a part of that.
        self._plan = uuid.uuid4().hex[:12]
        self._lines: list[str] = []
        self._bytes = self._number = self._first = 0
        self.where = f"{XCOMS}{task_instance.task_id}/{self._plan}"

    def add(self, line: str) -> tuple[int, int]:
        """Add a line; return the number of its chunk, and the number after it."""
        if self._lines and self._bytes + len(line) > _MOST_BYTES:
            self.push()
        self._lines.append(line)
        self._bytes += len(line) + 1
        return self._number, self._number + 1

    def push(self) -> None:
        """Push the lines that have not been pushed yet."""
        if not self._lines:
            return
        # As one text: to make JSON of a list, Airflow looks at each value in it.
        chunk = {"first": self._first, "lines": "\n".join(self._lines)}
        self._instance.xcom_push(chunk_key(self._plan, self._number), chunk)
        self._first += len(self._lines)
        self._lines, self._bytes, self._number = [], 0, self._number + 1


@contextmanager
def chunks(task_instance: Any) -> Iterator[Chunks]:
    """Yield a place for the items of a plan among the XComs of the task that makes it."""
    kept = Chunks(task_instance)
    yield kept
    kept.push()


def chunk_key(plan: str, number: int) -> str:
    """Return the key of the XCom that a chunk of a plan is."""
    return f"mapping_kit_plan/{plan}/{number}"


def maker_and_plan(where: str) -> tuple[str, str]:
    """Return the id of the task that made a plan of chunks, and what the plan is called."""
    maker, _, plan = where.removeprefix(XCOMS).partition("/")
    return maker, plan
