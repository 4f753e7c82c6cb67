"""What an instance stages for a table, where, and how a commit tells that it is the one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_mapping_kit.exceptions import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import NotRequired

    from airflow_mapping_kit.tables.described import Table


class StagedFile(TypedDict):
    """One of several files of a partition.

    :param path: below the table's location.
    :param rows: how many.
    :param bytes: how large it is.
    """

    path: str
    rows: int
    bytes: int


class Staged(TypedDict):
    """What is staged of one partition, as an instance returns it.

    :param key: of the partition.
    :param partition: its dimensions.
    :param path: the file below the table's location, or the folder of several; `None` if there are no rows: the
        partition is emptied.
    :param rows: how many.
    :param bytes: of its files.
    :param files: what is in the folder; of what is several files.
    :param emptied: tells one try that found no rows from the next; of what has no file.
    """

    key: str
    partition: dict[str, Any]
    path: str | None
    rows: int
    bytes: int
    files: NotRequired[list[StagedFile]]
    emptied: NotRequired[str]


def files_of(piece: Staged) -> list[StagedFile]:
    """Return the files that are staged of a partition, none of one without rows."""
    if piece["path"] is None:
        return []
    return piece.get("files") or [{"path": piece["path"], "rows": piece["rows"], "bytes": piece["bytes"]}]


def with_files(pieces: Iterable[Staged]) -> Iterator[tuple[Staged, StagedFile]]:
    """Give each file that is staged, with what it is of."""
    return ((piece, file) for piece in pieces for file in files_of(piece))


def identity(piece: Staged) -> str:
    """Return what tells what is staged of a partition from what another try stages of it."""
    return piece["path"] or f"{piece['key']} {piece.get('emptied', '')}"


def run_of(dag_id: str, run_id: str, task_id: str) -> str:
    """Return what tells the files and the commits of one mapped task's run from those of any other."""
    return f"{dag_id} {run_id} {task_id}"


def prefix(table: Table, run: str) -> str:
    """Return where one run stages: a folder of its own, so that what it left can be told from others' files.

    Its name is a digest: the id of a run holds characters that each engine escapes in its own way in a path.
    """
    return f"{table['location']}/mapping-kit/{hashlib.sha256(run.encode()).hexdigest()[:16]}"


def marker(run: str, pieces: Iterable[Staged]) -> str:
    """Return what a commit says of itself, so that publishing the same files again is noticed."""
    told = "\n".join(sorted(f"{piece['key']} {identity(piece)}" for piece in pieces))
    return f"{hashlib.sha256(run.encode()).hexdigest()[:16]}#{hashlib.sha256(told.encode()).hexdigest()[:24]}"


def checked(pieces: Iterable[Any], name: str) -> list[Staged]:
    """Return what instances returned as what they staged.

    :param name: of the mapped task
    :raises TargetError: if one staged nothing for a table, or two staged the same partition
    """
    found: dict[str, Staged] = {}
    dimensions: set[str] | None = None
    for piece in pieces:
        if not isinstance(piece, dict) or not {"key", "partition", "rows"} <= piece.keys():
            raise TargetError(
                f"{name} returned something that isn't staged for a table, so nothing is published: clear its "
                f"instances. (They may have run before the DAG's target was a table)"
            )
        if piece["key"] in found:
            raise TargetError(
                f"partition {piece['key']} was staged twice, and it is not known which rows are meant: map {name} over "
                f"each partition once"
            )
        dimensions = dimensions or set(piece["partition"])
        if dimensions != set(piece["partition"]):
            raise TargetError(
                f"partition {piece['key']} has other dimensions than the others of {name} "
                f"({', '.join(sorted(dimensions))}): publish those of one kind together"
            )
        found[piece["key"]] = piece  # type: ignore[assignment]
    return list(found.values())
