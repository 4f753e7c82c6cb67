"""What a commit tells of itself: the run that it is of, and the pieces that are in it.

A run publishes more than once if some of its pieces are cleared. What an earlier commit of it has published is left
alone by the next: what others made of it since is theirs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_mapping_kit.tables.staged import identity, marker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airflow_mapping_kit.tables.staged import Staged

# Of this many pieces no two have the same but by one chance in ten million.
_DIGITS = 16


def told(run: str, pieces: Sequence[Staged]) -> str:
    """Return what a commit is to tell, a line of text: `<run>#<all pieces> <a piece>,<another>`."""
    return f"{marker(run, pieces)} {','.join(sorted(digest(piece) for piece in pieces))}"


def run_in(line: str) -> str:
    """Return which run a commit says it is of: `run_in(told(run, pieces))` is the same for all pieces of a run."""
    return line.partition("#")[0]


def pieces_in(lines: Iterable[str]) -> frozenset[str]:
    """Return the digests of all pieces that commits tell of."""
    return frozenset(one for line in lines for one in line.partition(" ")[2].split(",") if one)


def digest(piece: Staged) -> str:
    """Return what tells a piece from any other: by its file, or by its key and its try if it has none."""
    return digest_of(identity(piece))


def is_in(path: str, digests: Collection[str]) -> bool:
    """Tell whether a file is one of a piece's: its own, or in the folder that is the piece's."""
    return digest_of(path) in digests or digest_of(path.rpartition("/")[0]) in digests


def digest_of(text: str) -> str:
    """Return what tells the piece whose file or key this is from any other."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
