"""What is done of a batch, kept in the task state store of its instance. Airflow 3.3.

The store outlives a try, and a clear too. A task reads and writes keys of its own instance one by one, and can't
list them, so they are numbered: `mapping_kit` says for how many tries they count, `mapping_kit/0` and so on hold
the results. The others that the function of the DAG's author keeps there are left alone.

Where XComs go through a backend of the deployment's own, which may encrypt them or keep them elsewhere, so do the
values of results; the store has the keys, and what the backend made of the values.

Nobody but the instance can read its store. Where a fan-in waits for it, what is done is among its XComs as well:
they stay when its last try is killed.
"""

from __future__ import annotations

import json
import logging
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.owners import Superseded
from airflow_mapping_kit.compat import custom_xcom_backend, is_of_no_instance, plain_xcoms, xcom_backend
from airflow_mapping_kit.partitions import batches
from airflow_mapping_kit.plans.mapped import is_collected
from airflow_mapping_kit.reading.records import LEFT_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from airflow_mapping_kit.reading.instances import Reading
    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

# What is at this key is `{"max_tries": <number>}`. A person who clears an instance changes its number, a retry
# doesn't; `None` in its place counts for whichever number the instance has when it runs next.
HEAD = "mapping_kit"
# No instance has so many tries: nothing that was saved counts.
_NEVER = -1
_CLEARED_AT_ONCE = 500
# What is added to is written again, so it stays small; Airflow warns of values above 64 KiB.
_ROWS = 50
_BYTES = 32_768


class Stored:
    """The checkpoint of a running instance.

    :param store: its task state store.
    :param task_instance: the instance, with its task.
    """

    kept_with = "the instance, in its task state store"

    def __init__(self, store: Any, task_instance: Any) -> None:
        self._store = store
        self._instance = task_instance
        self._begun = False
        self._full = 0
        self._last: list[ItemResult] = []
        # Of the chunks that may be written again: what the backend made of their values is then to go.
        self._open: dict[int, Any] = {}

    def load(self) -> list[ItemResult]:
        """Return what was saved since somebody cleared the instance, if at all."""
        head = self._store.get(HEAD)
        if head is None or head["max_tries"] not in (None, self._instance.max_tries):
            return []
        if head["max_tries"] is None:
            self._begin()
        self._begun = True
        chunks = list(self._chunks())
        self._full = len(chunks)
        for number, chunk in enumerate(chunks):
            self._leave(number, chunk)
        return [row for chunk in chunks for row in _results_of(chunk)]

    def save(self, results: Sequence[ItemResult]) -> None:
        """Add to what was saved.

        :raises Superseded: if the instance has another try by now, which alone may write.
        """
        if not self._begun:
            self._begin()
        packed = _packed([*self._last, *results])
        for number, rows in enumerate(packed, self._full):
            chunk = self._chunk(rows, f"{HEAD}/{number}")
            self._set(f"{HEAD}/{number}", chunk)
            self._leave(number, chunk)
            _purge(self._open.get(number))
            self._open[number] = chunk
        # Only now: what went wrong before this is written again under the same keys.
        self._last = packed.pop() if len(packed[-1]) < _ROWS else []
        self._full += len(packed)
        self._open = {number: chunk for number, chunk in self._open.items() if number >= self._full}

    def delete(self) -> None:
        """Delete all that was saved, also from before somebody cleared the instance."""
        if self._store.get(HEAD) is None:
            return
        # From the end, so that what is left when this is killed is found again.
        for number, chunk in reversed(list(enumerate(self._chunks()))):
            self._take_back(number)
            self._store.delete(f"{HEAD}/{number}")
            _purge(chunk)
        self._store.delete(HEAD)

    def _begin(self) -> None:
        self._set(HEAD, {"max_tries": self._instance.max_tries})
        self._begun = True

    def _set(self, key: str, value: Any) -> None:
        try:
            self._store.set(key, value)
        except Exception as error:
            if not is_of_no_instance(error):
                raise
            raise Superseded(
                "Airflow knows this try of the instance no more: it was given to another process, or cleared. "
                "Nothing else is begun here.",
                another=True,
            ) from error

    def _chunks(self) -> Iterator[Any]:
        for number in count():
            chunk = self._store.get(f"{HEAD}/{number}")
            if chunk is None:
                return
            yield chunk

    def _chunk(self, rows: list[ItemResult], key: str) -> Any:
        """Return what the store holds of some results: what a backend of XComs is there for goes through it."""
        from airflow.sdk.serde import serialize

        if not custom_xcom_backend():
            return [serialize(row) for row in rows]
        values = [row["value"] for row in rows]
        return {
            "rows": [{**row, "value": None} for row in rows],
            "values": xcom_backend().serialize_value(values, key=key, **self._place()),
        }

    def _place(self) -> dict[str, Any]:
        one = self._instance
        return {name: getattr(one, name) for name in ("dag_id", "run_id", "task_id", "map_index")}

    def _leave(self, number: int, chunk: Any) -> None:
        """Let the fan-in, if one waits for the instance, find a chunk."""
        if is_collected(self._instance.task):
            # As text: Airflow would take what stands for an object for the object itself.
            plain_xcoms().set(f"{LEFT_KEY}/{number}", json.dumps(chunk), **self._place())

    def _take_back(self, number: int) -> None:
        """Delete what the fan-in would find."""
        if is_collected(self._instance.task):
            plain_xcoms().delete(f"{LEFT_KEY}/{number}", **self._place())


def left_by(read: Reading, dag_id: str, run_id: str, task_id: str, map_index: int) -> list[ItemResult]:
    """Return what an instance for which a fan-in waits had saved, before its last try was killed.

    :param read: how the run is read.
    """
    texts = (read.xcom(dag_id, run_id, task_id, map_index, f"{LEFT_KEY}/{number}") for number in count())
    return [row for text in takewhile(bool, texts) for row in _results_of(json.loads(text))]


def _results_of(chunk: Any) -> list[ItemResult]:
    """Return the results that a chunk holds."""
    from airflow.sdk.serde import deserialize

    if isinstance(chunk, list):
        return [deserialize(row) for row in chunk]
    rows: list[ItemResult] = chunk["rows"]
    try:
        values = xcom_backend().deserialize_value(_held(chunk))
    except FileNotFoundError:
        values = None
    if not isinstance(values, list) or len(values) != len(rows):
        log.warning(
            "The XCom backend no longer gives what it was handed of %d items that are done: they are worked on again.",
            len(rows),
        )
        return []
    return [{**row, "value": value} for row, value in zip(rows, values, strict=True)]


def _purge(chunk: Any) -> None:
    """Have the backend of XComs forget the values of a chunk."""
    if isinstance(chunk, dict):
        xcom_backend().purge(_held(chunk))


def _held(chunk: Any) -> Any:
    from airflow.sdk.execution_time.comms import XComResult

    return XComResult(key=HEAD, value=chunk["values"])


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


def _packed(rows: list[ItemResult]) -> list[list[ItemResult]]:
    """Return rows in chunks that are small, but for a row that is large by itself."""
    from airflow.sdk.serde import serialize

    chunks: list[list[ItemResult]] = [[]]
    room = _BYTES
    for row in rows:
        size = len(json.dumps(serialize(row)))
        if chunks[-1] and (len(chunks[-1]) == _ROWS or size > room):
            chunks.append([])
            room = _BYTES
        chunks[-1].append(row)
        room -= size
    return chunks
