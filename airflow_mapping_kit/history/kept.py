"""Plans that were read, kept in the memory of the process within a budget of bytes: what was pushed never changes.

Plans that are equal, as those of reloads of one range are, are kept once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

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
        self.size = 0
        self._budget = budget
        self._digests: OrderedDict[Hashable, str] = OrderedDict()
        self._plans: OrderedDict[str, Pieces] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Pieces | None:
        """Return a plan, `None` where it is not kept, or not any more."""
        with self._lock:
            digest = self._digests.get(key)
            pieces = None if digest is None else self._plans.get(digest)
            if digest is not None and pieces is not None:
                self._digests.move_to_end(key)
                self._plans.move_to_end(digest)
            return pieces

    def put(self, key: Hashable, pieces: Pieces) -> Pieces:
        """Keep a plan, and return it, or an equal one that is kept already."""
        digest, size = pieces.digest, pieces.size
        with self._lock:
            same = self._plans.get(digest)
            if same is None and size <= self._budget:
                while self.size + size > self._budget:
                    self.size -= self._plans.popitem(last=False)[1].size
                self._plans[digest] = pieces
                self.size += size
            self._digests[key] = digest
            if len(self._digests) > _RUNS:
                self._digests.popitem(last=False)
            return pieces if same is None else same
