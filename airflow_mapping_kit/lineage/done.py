"""What an instance has done so far: how much of it in full, and the first of it by name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# So many partitions and places are named, and so many characters of them: an event is no report.
MAX_NAMED = 100
_ROOM = 64_000


class Done:
    """What an instance has done in this try, as lineage and metrics tell of it.

    `states` counts its pieces where it works on several; `rows`, `bytes` and `files` what it wrote; `partitions` and
    `places` name the first 100 of them, `left_out` says how many are not named; `query_id` is the last query.

    :param staged: whether what it wrote is published by another task
    """

    def __init__(self, *, staged: bool = False) -> None:
        self.staged = staged
        self.states: Counter[str] = Counter()
        self.rows = self.bytes = self.files = 0
        self.partitions: list[tuple[str, dict[str, Any]]] = []
        self.places: list[str] = []
        self.left_out = 0
        self.query_id: str | None = None
        self._room = _ROOM

    def wrote(
        self,
        *,
        rows: int = 0,
        size: int = 0,
        place: str | None = None,
        key: str | None = None,
        partition: Mapping[str, Any] | None = None,
    ) -> None:
        """Count what was written, and name it if there is room.

        :param place: the file or object
        :param key: of the partition
        """
        self.rows += rows
        self.bytes += size
        self.files += place is not None
        self._room -= len(place or "") + len(key or "")
        if self._room < 0 or max(len(self.partitions), len(self.places)) >= MAX_NAMED:
            self.left_out += 1
            return
        if place is not None:
            self.places.append(place)
        if key is not None:
            self.partitions.append((key, dict(partition or {})))


def counted(
    done: Done, put: Callable[[Any], dict[str, Any] | None]
) -> Callable[[Any], dict[str, Any] | None]:
    """Return what puts a partition where it belongs, and counts it.

    :param put: as `PartitionOperator.put_each` has it
    """

    def call(place: Any) -> dict[str, Any] | None:
        try:
            result = put(place)
        except Exception:
            done.states[FAILED] += 1
            raise
        done.states[SKIPPED if result is None else SUCCESS] += 1
        if result is not None:
            done.wrote(
                rows=result["rows"],
                size=result.get("bytes", 0),
                place=None if done.staged else result.get("path"),
                key=place.key,
                partition=place.partition,
            )
        return result

    return call
