"""What became of a partition in a run, as a letter: a cell of a history is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED, SUCCESS, UPSTREAM_FAILED, WAITING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.history.work import Try

# A capital letter says that older data are there. `.`, which is none of them, belongs to no partition.
LETTERS = {
    "o": "loaded",
    "f": "failed",
    "b": "upstream_failed",
    "u": "not_run",
    "w": "at_work",
    "q": "waiting",
    "s": "skipped",
    "m": "missing",
    "t": "stale",
    "h": "healed",
}
NO_CELL = "."
_NOT_LOADED = "fbum"
# What says most of several instances that worked on one piece.
WORST = "fbuwqso"
_OF_STATE = {
    SUCCESS: "o",
    FAILED: "f",
    UPSTREAM_FAILED: "b",
    NOT_STARTED: "u",
    SKIPPED: "s",
    **dict.fromkeys(WAITING, "q"),
}


def letter_of(state: str | None) -> str:
    """Return the letter of an instance's state, `w` for whatever is neither waiting nor ended."""
    return _OF_STATE.get(state, "w")


def not_loaded(counts: Mapping[str, int] | None) -> int:
    """Return how many of some partitions are failed or missing, by how many have which letter."""
    return sum(number for letter, number in (counts or {}).items() if letter.lower() in _NOT_LOADED)


def of_piece(tries: Iterable[Try], number: int, ends: Iterable[str]) -> str | None:
    """Return the letter of a piece from its instances.

    :param tries: those that are no plain success, or all.
    :param number: how many instances a piece has.
    :param ends: the tasks in which a piece of a group ends.
    :return: `None` where Airflow has removed it from its plan.
    """
    letters = {one.task_id: letter_of(one.state) for one in tries if one.state != "removed"}
    removed = len([one for one in tries if one.state == "removed"])
    if not letters:
        return "o" if removed < number else None
    worst = min(letters.values(), key=WORST.index)
    if worst != "s":
        return worst
    # A group that chose a branch has skipped tasks in every piece: what it ends in decides.
    missing = number - len(letters) - removed
    return "o" if any(letters.get(end, "o" if missing else "s") == "o" for end in ends) else "s"
