"""Instances agree in storage when their calls start: a chain of small files.

An instance that takes times writes the next file of the chain, with the last of its times in it. The store lets only
one writer create a file, so no two instances take the same times.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.steering.slots import Lease, after, leased
from airflow_mapping_kit.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.steering.rate import Rate
    from airflow_mapping_kit.steering.slots import Slots

_SUFFIX = ".json"
_BETWEEN_SECONDS = 0.05
# Who was held up for so long may have seen a file as the last that others have deleted since: files are kept longer.
_STALE_SECONDS = 10.0
_KEPT_SECONDS = 60.0
# So many bytes of a file are read: it has fewer.
_BYTES = 1_000


class InStorage:
    """Times of calls, by the clocks of the machines that make them.

    :param folder: the URI of the chain's folder.
    :param otherwise: makes the slots that are used if the store lets two writers create the same file.
    """

    def __init__(self, folder: str, otherwise: Callable[[], Slots]) -> None:
        self._folder = folder
        self._otherwise = otherwise
        self._instead: Slots | None = None
        self._tried = False
        self._takes = 0.0
        # Files of this process, by when they were written: they tell which others are old.
        self._own: deque[tuple[float, int]] = deque()

    def lease(self, rate: Rate, most: int) -> Lease | float:
        """Take up to so many of the next times."""
        if not self._tried:
            self._instead = None if self._lets_one_alone() else self._otherwise()
            self._tried = True
        if self._instead is not None:
            return self._instead.lease(rate, most)
        asked = time.monotonic()
        number, last = self._last()
        answered = time.monotonic()
        now = time.time()
        found = after(last, now + min(self._takes, rate.late), rate, most)
        ahead = 0.0 if last is None else last - now
        if ahead > _STALE_SECONDS:
            raise StorageError(
                f"by the clock of another worker, a call starts in {ahead:,.0f} s, but no call is planned so far "
                f"ahead: synchronise the clocks of the workers (NTP)"
            )
        if not found.number:
            return max(found.first - now - 1, _BETWEEN_SECONDS)
        text = json.dumps({"last": found.last}).encode()
        taken = files.created(self._uri(number + 1), text)
        ended = time.monotonic()
        self._takes = ended - answered
        if not taken or ended - asked > _STALE_SECONDS:
            return 0.0
        self._own.append((ended, number + 1))
        self._forget(ended)
        return leased(found, rate, now, answered, answered)

    def close(self) -> None:
        """Leave nothing open."""
        if self._instead is not None:
            self._instead.close()

    def _last(self) -> tuple[int, float | None]:
        """Return the number of the last file, 0 if there is none, and the time in it."""
        names = [uri.rpartition("/")[2].removesuffix(_SUFFIX) for uri in files.listed(self._folder)]
        number = max((int(name) for name in names if name.isdigit()), default=0)
        if not number:
            return 0, None
        return number, float(json.loads(files.read_range(self._uri(number), 0, _BYTES))["last"])

    def _forget(self, now: float) -> None:
        """Delete files that nobody can mistake for the last any more."""
        old = 0
        while self._own and now - self._own[0][0] > _KEPT_SECONDS:
            old = self._own.popleft()[1]
        if old:
            last = self._uri(old)
            files.delete(*(uri for uri in files.listed(self._folder) if uri < last))

    def _lets_one_alone(self) -> bool:
        """Try whether the store lets two writers create the same file: some stores ignore the condition."""
        trial = f"{self._folder}/trial-{uuid.uuid4().hex}"
        files.created(trial, b"{}")
        alone = not files.created(trial, b"{}")
        files.delete(trial)
        return alone

    def _uri(self, number: int) -> str:
        return f"{self._folder}/{number:012}{_SUFFIX}"
