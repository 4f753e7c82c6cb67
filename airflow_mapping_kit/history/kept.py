"""Plans that were read, kept in the memory of the process within a budget of bytes: what was pushed never changes.

Plans that are equal, as those of reloads of one range are, are kept once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Hashable

    from airflow_mapping_kit.history.pieces import Pieces

BUDGET_BYTES = 64 * 2**20
_RUNS = 50_000


class Kept:
    """Plans by whatever they are known by, least recently used first out. Several threads may use it.

    :param budget: how many bytes they may take.
    """

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._digests: LRUCache[Hashable, str] = LRUCache(_RUNS)
        self._plans: LRUCache[str, Pieces] = LRUCache(budget, getsizeof=lambda pieces: pieces.size)
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many bytes are kept, about."""
        with self._lock:
            return int(self._plans.currsize)

    def get(self, key: Hashable) -> Pieces | None:
        """Return a plan, `None` where it is not kept, or not any more."""
        with self._lock:
            digest = self._digests.get(key)
            return None if digest is None else self._plans.get(digest)

    def put(self, key: Hashable, pieces: Pieces) -> Pieces:
        """Keep a plan, and return it, or an equal one that is kept already."""
        digest = pieces.digest
        with self._lock:
            same = self._plans.get(digest)
            if same is None:
                same = pieces
                if pieces.size <= self._plans.maxsize:
                    self._plans[digest] = pieces
            self._digests[key] = digest
            return same
