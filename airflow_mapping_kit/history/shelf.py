"""What runs keep beside their rows, in files or in chunks among XComs: read within the time that a look may take."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mapping_kit.checkpoints.parts import failed_rows_of, left_by, rows_of
from airflow_mapping_kit.compat import redacted
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.plans.held import items_of
from airflow_mapping_kit.plans.slices import XCOMS
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.storage.place import root

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.plans.slices import Slice
    from airflow_mapping_kit.reading.instances import Instance
    from airflow_mapping_kit.results import ItemRow, PartSummary

T = TypeVar("T")
# A page waits for storage no longer than that in all. What was too slow is not asked again for a while.
SECONDS = 10.0
_LEFT_ALONE_SECONDS = 60.0
# Those that still wait for an answer that nobody waits for any more.
_WAITING = threading.BoundedSemaphore(8)
_PLACE = re.compile(r"(?:\w+://)?[^/]*")
_slow: dict[str, float] = {}


class Shelf:
    """Reads what runs of a DAG keep in storage and in chunks.

    :param dag_id: the DAG.
    """

    def __init__(self, dag_id: str) -> None:
        self._dag_id = dag_id
        self._until = time.monotonic() + SECONDS
        self._chunks = _Chunks()

    def items(self, one: Slice, run_id: str) -> list[Any]:
        """Return the items of a slice.

        :raises StorageError: if they can't be read here.
        """
        where = None if one.where.startswith(XCOMS) else one.where
        return self._read(
            where, lambda: [item for _, item in items_of(one, self._chunks, self._dag_id, run_id)]
        )

    def rows(self, part: PartSummary, run_id: str) -> list[ItemRow]:
        """Return the rows of a part in the order of its items, without their values.

        :raises StorageError: if they can't be read here.
        """
        found = self._read(
            _file_of(part), lambda: list(rows_of(part, self._chunks, self._dag_id, run_id, values=False))
        )
        return sorted(found, key=lambda row: row["item"])

    def failed(self, part: PartSummary, run_id: str) -> list[ItemRow]:
        """Return the rows of a part that failed.

        :raises StorageError: if they can't be read here.
        """
        return self._read(
            _file_of(part), lambda: list(failed_rows_of(part, self._chunks, self._dag_id, run_id))
        )

    def left(self, declared: Any, run_id: str, map_index: int, max_tries: int) -> list[ItemRow]:
        """Return what an instance had saved that was killed.

        :raises StorageError: if it can't be read here.
        """

        def read() -> list[ItemRow]:
            left = left_by(self._chunks, declared, run_id=run_id, map_index=map_index, max_tries=max_tries)
            return list(left)

        return self._read(root(), read)

    def _read(self, where: str | None, read: Callable[[], T]) -> T:
        """Return what is read, of a file in a thread of its own that nobody waits for too long."""
        if where is None:
            return _made(read)
        place = _PLACE.match(where)[0]  # type: ignore[index]  # it matches anything
        left = self._until - time.monotonic()
        if left <= 0 or time.monotonic() < _slow.get(place, 0.0) or not _WAITING.acquire(blocking=False):
            raise StorageError(f"{place or where} takes too long to answer")
        answer: list[T | Exception] = []

        def ask() -> None:
            try:
                answer.append(_made(read))
            except Exception as error:  # noqa: BLE001 -- raised where somebody waits for it
                answer.append(error)
            finally:
                _WAITING.release()

        thread = threading.Thread(target=ask, daemon=True, name="mapping_kit-shelf")
        thread.start()
        thread.join(left)
        if not answer:
            _slow[place] = time.monotonic() + _LEFT_ALONE_SECONDS
            raise StorageError(f"{place or where} takes too long to answer")
        (found,) = answer
        if isinstance(found, Exception):
            raise found
        return found


class _Chunks:
    """Reads XComs that are numbered, several of those that follow each other at once."""

    _AT_ONCE = 16

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, int, str], Any] = {}

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
        """Return what one instance pushed, `None` if nothing."""
        place = (dag_id, run_id, task_id, map_index, key)
        if place not in self._found:
            numbered = re.fullmatch(r"(.*\D)(\d+)", key)
            first = int(numbered[2]) if numbered else 0
            keys = [f"{numbered[1]}{first + n}" for n in range(self._AT_ONCE)] if numbered else [key]
            values = tables.xcoms_at(dag_id, run_id, task_id, map_index, keys)
            self._found = {(*place[:-1], one): values.get(one) for one in keys}
        return self._found[place]

    def xcoms(self, *asked: Any) -> dict[tuple[str, str], dict[int, Any]]:
        """Return what some tasks of a run pushed."""
        return tables.xcoms(*asked)

    def instances(self, *asked: Any) -> dict[str, dict[int, Instance]]:
        """Return the instances of some tasks of a run."""
        return tables.instances(*asked)


def _made(read: Callable[[], T]) -> T:
    """Return what is read; whatever is wrong with what is kept, or with where it is, is an error of storage."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return read()
    except (StorageError, SQLAlchemyError):
        raise
    except Exception as error:
        raise StorageError(f"{type(error).__name__}: {one_line(redacted(str(error)))}") from error


def _file_of(part: PartSummary) -> str | None:
    return None if "chunks" in part else part["where"]
