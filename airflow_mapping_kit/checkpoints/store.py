"""What is done of a batch, kept in the task state store of its instance, and among its own XComs. Airflow 3.

The store, which there is from 3.3 on, outlives a try, and a clear too. A task reads and writes keys of its own
instance one by one, and can't list them, so they are numbered: `mapping_kit` says for how many tries they count,
`mapping_kit/0` and so on hold the results. The others that the function of the DAG's author keeps there are left
alone.

Nobody but the instance can read its store. What a fan-in is to find of an instance that was killed, and the part that
an instance returns in place of a list, is among its XComs as well.

Where XComs go through a backend of the deployment's own, which may encrypt them or keep them elsewhere, so does all
of it.
"""

from __future__ import annotations

import json
import logging
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.chunks import Chunks, lines_of, packed
from airflow_mapping_kit.checkpoints.owners import unknown_try
from airflow_mapping_kit.compat import custom_xcom_backend, is_of_no_instance, xcom_backend
from airflow_mapping_kit.partitions import batches
from airflow_mapping_kit.reading.records import LEFT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from airflow_mapping_kit.checkpoints.rows import Line

log = logging.getLogger(__name__)

# What is at this key is `{"max_tries": <number>}`. A person who clears an instance changes its number, a retry
# doesn't; `None` in its place counts for whichever number the instance has when it runs next.
HEAD = "mapping_kit"
# Where the instance has files, which folder they are in.
_FOLDER = f"{HEAD}/folder"
# No instance has so many tries: nothing that was saved counts.
_NEVER = -1
_CLEARED_AT_ONCE = 500
# Each is three requests, but Airflow warns of values of 65,536 bytes.
_BYTES = 65_500


class Stored:
    """The chunks of one instance, as the process that works on it writes them.

    :param store: its task state store, `None` before Airflow 3.3.
    :param task_instance: the instance, with its task.
    :param leaves: whether somebody else is to find what is done while the instance works.
    """

    holds_parts = True
    save_bytes = 1 << 20
    kept_with = "the instance, in its task state store"

    def __init__(self, store: Any, task_instance: Any, *, leaves: bool) -> None:
        self.outlives_tries = store is not None
        self._store = store
        self._instance = task_instance
        self._head = _Head(store, task_instance)
        self._leaves = leaves
        self._is_part = False
        self._done = _Growing(self._write)
        self._failed = _Growing(self._write_failures)
        # Of the chunks that may be written again: what the backend made of them is then to go.
        self._open: dict[int, Any] = {}

    def begin(self) -> None:
        """Do nothing: what another run of the same id had left Airflow has deleted with it."""

    def load(self) -> Iterator[str]:
        """Yield the lines that were saved since somebody cleared the instance, if at all."""
        if self._store is None:
            return
        if not self._head.counts():
            # What is there was saved before somebody cleared this instance.
            self.begin_afresh()
            return
        lost = False
        for number, chunk in self._chunks():
            lines = _kept(chunk)
            # The rest would be where a reader, who counts, does not look.
            lost = lost or lines is None
            if lines is None or lost:
                self._delete(number, chunk)
            else:
                self._done.count = number + 1
                self._leave(number, lines)
                yield from lines

    def add(self, lines: Sequence[Line]) -> None:
        """Keep lines.

        :raises Superseded: if the instance has another try by now, which alone may write.
        """
        kinds: dict[bool, list[str]] = {True: [], False: []}
        for line in lines:
            kinds[line.done].append(line.text)
        if kinds[True]:
            if self._store is not None:
                self._head.write()
            self._done.add(kinds[True])
            self._open = {number: chunk for number, chunk in self._open.items() if number >= self._done.full}
        if kinds[False]:
            self._failed.add(kinds[False])

    def begin_afresh(self) -> None:
        """Delete all that was saved, also from before somebody cleared the instance."""
        if self._store is None or not self._head.is_there():
            return
        # From the end, so that what is left when this is killed is found again.
        for number, chunk in reversed(list(self._chunks())):
            self._delete(number, chunk)
        self._head.delete()
        self._done = _Growing(self._write)

    def finish(self, lines: Sequence[Line], keep: Callable[[int], bool]) -> dict[str, Any]:  # noqa: ARG002 -- all count
        """Keep what is not kept yet; return what a summary says of where all is."""
        if not self._leaves:
            self._leaves = True
            for number, chunk in self._chunks():
                self._leave(number, _kept(chunk) or [])
        self.add(lines)
        self._is_part = True
        own = Chunks(
            self._instance.task_id,
            self._instance.map_index,
            f"{LEFT_KEY}/",
            self._done.count,
            self._failed.count,
            [],
        )
        return {"where": "xcom", "failed_in": None, "chunks": [list(own)]}

    def succeeded(self) -> None:
        """Delete what only a retry would want, now that there is none."""
        for number in reversed(range(self._done.count)):
            if not self._is_part and self._leaves:
                xcom_backend().delete(f"{LEFT_KEY}/{number}", **self._place())
            if self._store is not None:
                self._forget(number, self._store.get(f"{HEAD}/{number}") if custom_xcom_backend() else None)
        if self._done.count and self._store is not None:
            self._head.delete()

    def _chunks(self) -> Iterator[tuple[int, Any]]:
        for number in count() if self._store is not None else ():
            chunk = self._store.get(f"{HEAD}/{number}")
            if chunk is None:
                return
            yield number, chunk

    def _write(self, number: int, lines: Sequence[str]) -> None:
        key, text = f"{HEAD}/{number}", "\n".join(lines)
        if self._store is not None:
            chunk: Any = text
            if custom_xcom_backend():
                chunk = {"kept": xcom_backend().serialize_value(text, key=key, **self._place())}
            _set(self._store, key, chunk)
            _purge(self._open.get(number))
            self._open[number] = chunk
        self._leave(number, lines)

    def _write_failures(self, number: int, lines: Sequence[str]) -> None:
        self._push(f"failed.{number}", lines)

    def _leave(self, number: int, lines: Sequence[str]) -> None:
        if self._leaves:
            self._push(str(number), lines)

    def _push(self, name: str, lines: Sequence[str]) -> None:
        key = f"{LEFT_KEY}/{name}"
        if custom_xcom_backend():
            # What is written again leaves no object behind.
            xcom_backend().delete(key, **self._place())
        xcom_backend().set(key, "\n".join(lines), **self._place())

    def _delete(self, number: int, chunk: Any) -> None:
        if self._leaves:
            xcom_backend().delete(f"{LEFT_KEY}/{number}", **self._place())
        self._forget(number, chunk)

    def _forget(self, number: int, chunk: Any) -> None:
        self._store.delete(f"{HEAD}/{number}")
        _purge(chunk)

    def _place(self) -> dict[str, Any]:
        one = self._instance
        return {name: getattr(one, name) for name in ("dag_id", "run_id", "task_id", "map_index")}


class Pointed:
    """Which folder of files an instance has, in its task state store."""

    def __init__(self, store: Any, task_instance: Any) -> None:
        self._store = store
        self._head = _Head(store, task_instance)

    def read(self) -> str | None:
        """Return the folder's name that counts since somebody cleared the instance, if one does."""
        name = self._store.get(_FOLDER) if self._head.counts() else None
        return name if isinstance(name, str) else None

    def write(self, name: str) -> None:
        """Keep the folder's name.

        :raises Superseded: if Airflow takes nothing from this process any more.
        """
        _set(self._store, _FOLDER, name)
        self._head.write()

    def delete(self) -> None:
        """Forget it."""
        self._head.delete()
        self._store.delete(_FOLDER)


class _Head:
    """For how many tries of an instance counts what its store has."""

    def __init__(self, store: Any, task_instance: Any) -> None:
        self._store = store
        self._instance = task_instance
        self._written = False

    def counts(self) -> bool:
        """Tell whether what is there counts; what outlived a clear then counts for the tries that follow it."""
        head = self._store.get(HEAD)
        if head is None or head["max_tries"] not in (None, self._instance.max_tries):
            return False
        if head["max_tries"] is None:
            self.write()
        self._written = True
        return True

    def is_there(self) -> bool:
        """Tell whether anything was kept."""
        return self._store.get(HEAD) is not None

    def write(self) -> None:
        """Have what is there count, unless that was said."""
        if not self._written:
            _set(self._store, HEAD, {"max_tries": self._instance.max_tries})
            self._written = True

    def delete(self) -> None:
        """Have nothing count."""
        self._store.delete(HEAD)
        self._written = False


class _Growing:
    """Chunks of which the last is written again while there is room in it.

    :param write: writes one, whatever was there.
    """

    def __init__(self, write: Callable[[int, Sequence[str]], None]) -> None:
        self._write = write
        self.count = self.full = 0
        self._last: list[str] = []

    def add(self, lines: Iterable[str]) -> None:
        """Add lines to the last, and write those that follow."""
        first = self.count - bool(self._last)
        chunks = list(packed([*self._last, *lines], _BYTES))
        for number, chunk in enumerate(chunks, first):
            # Nothing that came fitted in.
            if chunk != self._last:
                self._write(number, chunk)
        # Only now: what went wrong before this is written again under the same keys.
        self._last = chunks[-1]
        self.count = first + len(chunks)
        self.full = self.count - 1


def _set(store: Any, key: str, value: Any) -> None:
    try:
        store.set(key, value)
    except Exception as error:
        if not is_of_no_instance(error):
            raise
        raise unknown_try() from error


def _kept(chunk: Any) -> list[str] | None:
    """Return the lines of a chunk of the store, `None` of what the backend of XComs no longer gives."""
    if isinstance(chunk, str):
        return lines_of(chunk)
    try:
        return lines_of(xcom_backend().deserialize_value(_held(chunk)))
    except (FileNotFoundError, ValueError):
        log.warning(
            "The XCom backend no longer returns the checkpoint of items that are done: these items run again."
        )
        return None


def _purge(chunk: Any) -> None:
    """Have the backend of XComs forget a chunk."""
    if isinstance(chunk, dict):
        xcom_backend().purge(_held(chunk))


def _held(chunk: Any) -> Any:
    from airflow.sdk.execution_time.comms import XComResult

    return XComResult(key=HEAD, value=chunk["kept"])


def count_on(
    dag_id: str, run_id: str, cleared: Mapping[str, Collection[int]], session: Any, *, fresh: bool
) -> None:
    """Let what was saved of instances that somebody clears stand, or have them begin from nothing.

    :param cleared: the map indexes of the instances, by task.
    :param session: that of the transaction that clears them, beside the metadata database.
    """
    from airflow.models.task_state_store import TaskStateStoreModel
    from sqlalchemy import update

    table = TaskStateStoreModel.__table__
    for task_id, indexes in cleared.items():
        for part in batches(sorted(indexes), batch_size=_CLEARED_AT_ONCE):
            session.execute(
                update(table)
                .where(table.c.dag_id == dag_id, table.c.run_id == run_id, table.c.task_id == task_id)
                .where(table.c.map_index.in_(part), table.c.key == HEAD)
                .values(value=json.dumps(head_after_clearing(fresh=fresh)))
            )


def head_after_clearing(*, fresh: bool) -> dict[str, Any]:
    """Return what is to be at the key `HEAD` of an instance that is cleared."""
    return {"max_tries": _NEVER if fresh else None}
