"""What is done of a batch, kept in files: in segments while it is worked on, then as one file of JSON Lines.

The files of an instance are in a folder of their own, `<map index>.<number of tries>`: a person who clears the
instance changes the number, a retry doesn't. Each process writes files of names of its own, as a whole or not at all;
so two that work on one instance can't get into each other's, and whatever is there counts.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mapping_kit.checkpoints.rows import DONE, Line
from airflow_mapping_kit.storage import files
from airflow_mapping_kit.storage.place import folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_mapping_kit.checkpoints.owners import Owner

# So much of what failed is in memory before it goes to the worker's disk.
_SPOOLED = 1 << 20
_NAME = re.compile(r"[0-9a-f]{8}(-\d+|\.failed)?\.jsonl")


class Pointer(Protocol):
    """What Airflow keeps of an instance beyond its tries: which folder its files are in."""

    def read(self) -> str | None:
        """Return the folder's name that counts since somebody cleared the instance, if one does."""

    def write(self, name: str) -> None:
        """Keep the folder's name.

        :raises Superseded: if Airflow takes nothing from this process any more.
        """

    def delete(self) -> None:
        """Forget it."""


class Files:
    """The files of one instance, as the process that works on it writes them.

    :param instance: the instance.
    :param pointer: `None` where Airflow has no place for it.
    :param owner: whose the instance is, where Airflow does not look by itself.
    """

    kept_with = "[mapping_kit] storage"
    outlives_tries = holds_parts = True
    # A request for each, of which a worker waits for the answer.
    save_bytes = 4 << 20

    def __init__(self, instance: Any, pointer: Pointer | None, owner: Owner | None) -> None:
        self._instance = instance
        self._task = folder(instance.dag_id, instance.run_id, instance.task_id)
        self._name = name_of(instance.map_index, instance.max_tries)
        self._folder = f"{self._task}/{self._name}"
        self._pointer, self._pointed = pointer, False
        self._owner = owner
        self._who = uuid.uuid4().hex[:8]
        # What was there when this process began: what came since may be of another that works on the instance.
        self._found: list[str] = []
        self._before: list[str] = []
        self._segments: list[str] = []
        self._failed: Any = None
        self._result: list[str] = []

    def begin(self) -> None:
        """Delete what another run of the same id left, which somebody has deleted: only Airflow has forgotten it."""
        self._delete(_ours(self._folder))

    def load(self) -> Iterator[str]:
        """Yield the lines that earlier tries left."""
        moved = self._pointer.read() if self._pointer is not None else None
        self._pointed = moved is not None
        # Whoever of this run kept anything said so before, which goes with the run.
        if moved is None and (self._pointer is not None or is_first(self._instance)):
            self.begin()
        if moved is not None and moved != self._name:
            self._take_from(f"{self._task}/{moved}")
        self._found = _ours(self._folder)
        self._before = [uri for uri in self._found if not _is_of_failed(uri)]
        for uri in self._before:
            for line in files.lines(uri):
                yield line.decode()

    def add(self, lines: Sequence[Line]) -> None:
        """Keep lines: all of them, or none.

        :raises Superseded: if the instance is not this process's own any more.
        """
        if self._owner is not None:
            self._owner.check()
        self._point()
        segment = f"{self._folder}/{self._who}-{len(self._segments):06d}.jsonl"
        with self._failures_of(lines), files.whole(segment) as file:
            self._write(file, lines)
        self._segments.append(segment)

    def begin_afresh(self) -> None:
        """Delete what earlier tries left."""
        self._delete(self._found)
        self._found, self._before = [], []

    def finish(self, lines: Sequence[Line], keep: Callable[[int], bool]) -> dict[str, Any]:
        """Make one file of all that was kept, and one of what failed; return what a summary says of them.

        :param lines: what is not kept yet.
        :param keep: tells whether an item's result of an earlier try counts, and has not been asked for yet.
        """
        if self._owner is not None:
            self._owner.check(done=True)
        elif self._segments and self._pointer is not None:
            self._pointer.write(self._name)
        result, failed = f"{self._folder}/{self._who}.jsonl", f"{self._folder}/{self._who}.failed.jsonl"
        with self._failures_of(lines), files.whole(result) as file:
            for uri in self._before:
                for line in files.lines(uri):
                    row = json.loads(line)
                    if row["state"] in DONE and keep(row["item"]):
                        file.write(line + b"\n")
            for uri in self._segments:
                for line in files.lines(uri):
                    file.write(line + b"\n")
            self._write(file, lines)
        self._result = [result]
        if self._failed is not None:
            self._point()
            with files.whole(failed) as file:
                self._failed.seek(0)
                while block := self._failed.read(_SPOOLED):
                    file.write(block)
            self._failed.close()
            self._result.append(failed)
        # With what an earlier try said of its failures.
        self._delete([*self._found, *self._segments])
        return {"where": result, "failed_in": failed if self._failed is not None else None}

    def succeeded(self) -> None:
        """Delete what only a retry would want, now that there is none."""
        if self._pointed and self._pointer is not None:
            self._pointer.delete()
        if not self._result:
            self._delete([*self._found, *self._segments])

    def _point(self) -> None:
        if self._pointer is not None and not self._pointed:
            self._pointer.write(self._name)
            self._pointed = True

    def _write(self, file: Any, lines: Iterable[Line]) -> None:
        file.writelines(line.text.encode() + b"\n" for line in lines)

    @contextmanager
    def _failures_of(self, lines: Iterable[Line]) -> Iterator[None]:
        """Keep those of the lines that say of failures once more, apart, unless what is within goes wrong."""
        failed = [line for line in lines if not line.done]
        if not failed:
            yield
            return
        if self._failed is None:
            self._failed = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 -- closed in finish()
        end = self._failed.tell()
        try:
            self._write(self._failed, failed)
            yield
        except BaseException:
            self._failed.seek(end)
            self._failed.truncate()
            raise

    def _take_from(self, other: str) -> None:
        """Take over what was done before somebody had only the rest done again, so that it is found here."""
        found = _ours(other)
        for uri in found:
            if not _is_of_failed(uri):
                with files.whole(f"{self._folder}/{uri.rpartition('/')[2]}") as file:
                    for line in files.lines(uri):
                        file.write(line + b"\n")
        if self._pointer is not None:
            self._pointer.write(self._name)
        self._delete(found)

    def _delete(self, uris: Iterable[str]) -> None:
        found = list(uris)
        if found:
            files.delete(*found)


def is_first(instance: Any) -> bool:
    """Tell whether a try is the first since somebody cleared its instance, or the first of all.

    Where `retries` was lowered meanwhile another may be told to be: then it does all of it again.
    """
    retries = getattr(instance.task, "retries", 0)
    return bool(instance.try_number <= instance.max_tries - retries + 1)


def name_of(map_index: int, max_tries: int) -> str:
    """Return the name of the folder of an instance."""
    return f"{map_index}.{max_tries}"


def left_by(dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int) -> Iterator[str]:
    """Yield the lines that an instance left: what is done first, of whichever file."""
    place = f"{folder(dag_id, run_id, task_id)}/{name_of(map_index, max_tries)}"
    found = [uri for uri in _ours(place) if not _is_of_failed(uri)]
    for done in (True, False):
        for uri in found:
            for line in files.lines(uri):
                if (json.loads(line)["state"] in DONE) is done:
                    yield line.decode()


def _ours(place: str) -> list[str]:
    """Return the files in a folder that are of names as they are given here: people may put others beside them."""
    return [uri for uri in files.listed(place) if _NAME.fullmatch(uri.rpartition("/")[2])]


def _is_of_failed(uri: str) -> bool:
    return uri.endswith(".failed.jsonl")
