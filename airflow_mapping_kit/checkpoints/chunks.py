"""Rows among XComs, as many lines to each as are not too long together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Chunks(NamedTuple):
    """The chunks that one process left: those with what is done, and those with what is not, numbered from 0.

    :param task_id: the task that has them among its XComs.
    :param map_index: of which instance of it, -1 for one that is not mapped.
    :param prefix: what their keys begin with.
    :param done: how many have what is done.
    :param failed: how many have what is not.
    :param without: the numbers of those with what is done that were lost.
    """

    task_id: str
    map_index: int
    prefix: str
    done: int
    failed: int
    without: list[int]

    def key(self, number: int, *, failed: bool) -> str:
        """Return the key of a chunk."""
        return f"{self.prefix}{'failed.' if failed else ''}{number}"

    def keys(self, *, failed: bool) -> Iterator[str]:
        """Yield the keys of all that are counted."""
        numbers = range(self.failed) if failed else (n for n in range(self.done) if n not in self.without)
        return (self.key(number, failed=failed) for number in numbers)


def packed(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """Yield lines of ASCII in chunks of at most so many bytes as an XCom has them, JSON within JSON.

    A line that is longer is a chunk by itself.
    """
    chunk: list[str] = []
    size = 0
    for line in lines:
        escaped = len(line) + line.count('"') + line.count("\\") + len("\\n")
        if chunk and size + escaped > most:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += escaped
    if chunk:
        yield chunk


def lines_of(text: Any) -> list[str]:
    """Return the lines of a chunk.

    :raises StorageError: if it is none: a backend of the deployment's own may have lost it.
    """
    if not isinstance(text, str) or not text.startswith("{"):
        raise StorageError(
            f"{shown(text)} is not a stored result: the XCom backend no longer returns what was stored, or "
            "somebody has changed it. Clear the instance that it belongs to, with everything downstream."
        )
    return text.split("\n")
