"""What became of the items of a batch of which its instance pushed a summary: the rows of those that failed say it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.history.pieces import key_of
from airflow_mapping_kit.history.states import letter_of
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from airflow_mapping_kit.history.pieces import Pieces
    from airflow_mapping_kit.history.shelf import Shelf
    from airflow_mapping_kit.results import ItemRow, PartSummary


@dataclass(frozen=True)
class Items:
    """The items of one batch, in its order.

    :param letters: what became of each.
    :param rows: what is kept of each, `None` where nothing is.
    """

    letters: list[str]
    rows: list[Any]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.letters)


class Unread:
    """The batches whose results could not be read, and why."""

    def __init__(self) -> None:
        self._why: Counter[str] = Counter()

    def add(self, error: StorageError) -> None:
        """Count one more."""
        self._why[str(error).rstrip(".")] += 1

    @property
    def notes(self) -> list[str]:
        """What is to be said of them."""
        if not self._why:
            return []
        (why, _), number = self._why.most_common(1)[0], self._why.total()
        return [
            f"The results of {number:,} batch{'' if number == 1 else 'es'} can't be read here, so what is shown of "
            f"their items is what summaries tell: {why}."
        ]


def of_part(part: PartSummary, pieces: Pieces, place: tuple[str, int], shelf: Shelf, unread: Unread) -> Items:
    """Return what became of the items of a batch, from the rows that say of no success.

    :param part: what the instance pushed, of all items of the batch.
    :param pieces: those of its run.
    :param place: its run and map index.
    """
    letters, rows = [letter_of(SUCCESS)] * part["count"], list[Any]([None]) * part["count"]
    if set(part["states"]) <= {SUCCESS}:
        return Items(letters, rows)
    try:
        # Those that were skipped are among all rows alone.
        read = shelf.rows if SKIPPED in part["states"] else shelf.failed
        found = read(part, place[0])
    except StorageError as error:
        unread.add(error)
        return _of_summary(part, keys_of(pieces, place[1]))
    for row in found:
        at = row["item"] - part["first"]
        if row["state"] != SUCCESS and 0 <= at < len(letters):
            letters[at], rows[at] = letter_of(row["state"]), row
    return Items(letters, rows)


def keys_of(pieces: Pieces, map_index: int) -> list[str]:
    """Return the keys of the items of a batch, as results have them: equal ones told apart within the batch."""
    held = pieces.held_by(map_index)
    if pieces.by_key:
        return distinct([pieces.of(n)[0].partition("#")[0] for n in held])
    return distinct([key_of(pieces.names, pieces.of(n)) for n in held])


def _of_summary(part: PartSummary, keys: list[str]) -> Items:
    """Return what a summary tells: of a batch with few failures which they are; with more, all of it is failed."""
    number = sum(count for state, count in part["states"].items() if state not in {SUCCESS, SKIPPED})
    named = set(part["failed"]) if number == len(part["failed"]) else set(keys)
    error = {"type": None, "message": "; ".join(text for text, _ in part["errors"])}
    rows = [_row(key, part, error) if key in named else None for key in keys]
    return Items([letter_of(SUCCESS if row is None else FAILED) for row in rows], rows)


def _row(key: str, part: PartSummary, error: Any) -> ItemRow:
    return {
        "item": part["first"],
        "key": key,
        "state": FAILED,
        "value": None,
        "error": error,
        "tries": 1,
        "duration_s": None,
    }
