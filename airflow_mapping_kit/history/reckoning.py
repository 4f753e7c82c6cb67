"""What is known of each partition from what all runs did: the newest try decides, an older success is data.

Tries are gone through from the newest to the oldest. Instances that succeeded right away, in the course of their run,
are one event of their run: their order among the runs is the runs' own. All others are known one by one.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.history.states import NO_CELL, WORST, letter_of, of_piece

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Try, Work

_LOADED = ord("o")
_NONE = ord(NO_CELL)
# In place of the map index of what has none yet.
_WAITING = -2
_SMALL = ord("a") - ord("A")


class Event(NamedTuple):
    """Something that a run did: to the pieces of one instance, or to all that succeeded right away.

    :param number: of its run.
    :param place: of its run among all, newest first.
    :param map_index: of an instance, -1 of all others.
    """

    moment: datetime
    number: int
    place: int
    map_index: int


class Reckoning:
    """The letters of all cells.

    :param works: what the runs did, newest first.
    :param items: the letters of the items of batches, by run and map index; of others it is the batch's.
    :param waiting: the cells of runs that have no plan yet, by their place.
    :param staged: by the place of runs that haven't committed what they staged, what their successes are instead.
    :param gaps: the places of those that load only what is not there.
    :param only: the run whose own states are asked for: what failed there and was loaded later is healed.
    """

    def __init__(
        self,
        target: Target,
        matrix: Matrix,
        works: Sequence[Work],
        items: Mapping[tuple[str, int], Sequence[str]],
        waiting: Mapping[int, Collection[int]],
        gaps: Collection[int],
        staged: Mapping[int, str],
        now: datetime,
        only: str | None = None,
    ) -> None:
        size = matrix.size
        self._target, self._matrix, self._works, self._items = target, matrix, works, items
        self._only, self._staged = only, staged
        self.letters = bytearray(NO_CELL.encode() * size)
        self.place_of = array("i", [-1]) * size
        self.piece_of = array("i", [-1]) * size
        self._loaded = bytearray(size)
        self._later = bytearray(size)
        self._unloaded = size
        self._waiting = waiting
        for event in self._events(now, gaps):
            if not self._unloaded:
                break  # of all cells both is known
            if event.map_index == _WAITING:
                for cell in waiting[event.place]:
                    self._set(cell, ord("q"), event.place, -1)
            elif event.map_index < 0:
                self._all_others(event)
            else:
                self._one(event)
        for place in gaps:
            self._fill(place, waiting[place])
        self._finish()

    def tries(self, cell: int) -> Sequence[Try]:
        """Return the tries of a cell's instances that are known one by one."""
        work, piece = self._works[self.place_of[cell]], self.piece_of[cell]
        return () if piece < 0 else work.tries.get(work.pieces.holder(piece), ())

    def _events(self, now: datetime, gaps: Collection[int]) -> list[Event]:
        """Return the events, the newest first, and count the pieces of each run on the way."""
        events = []
        for place, cells in self._waiting.items():
            if place in gaps:
                continue
            work = self._works[place]
            work.run.counts["q"] = len(cells)
            events.append(Event(now, work.number, place, _WAITING))
        for place, work in enumerate(self._works):
            pieces = work.pieces
            if not pieces:
                continue
            counts = work.run.counts
            known = 0
            for index, tries in work.tries.items():
                if index >= pieces.instances:
                    continue
                held = pieces.held_by(index)
                known += len(held)
                for letter in self._letters(place, index):
                    if letter is not None:
                        counts[letter] = counts.get(letter, 0) + 1
                events.append(Event(max(one.moment for one in tries), work.number, place, index))
            if len(pieces) > known:
                letter = self._staged.get(place, "o")
                counts[letter] = counts.get(letter, 0) + len(pieces) - known
                moment = work.span[0] if work.span else work.run.started
                events.append(Event(moment, work.number, place, -1))
        return sorted(events, reverse=True)

    def _letters(self, place: int, index: int) -> Sequence[str | None]:
        """Return the letters of the pieces that an instance works on."""
        work = self._works[place]
        letter = of_piece(work.tries[index], len(self._target.task_ids), self._target.ends)
        held = len(work.pieces.held_by(index))
        items = self._items.get((work.run.id, index))
        known = (
            [letter] * held if items is None or len(items) != held or letter not in {"f", "o"} else [*items]
        )
        staged = self._staged.get(place)
        return known if staged is None else [staged if one == "o" else one for one in known]

    def _one(self, event: Event) -> None:
        work = self._works[event.place]
        cells = self._matrix.cells(work)
        for piece, letter in zip(
            work.pieces.held_by(event.map_index), self._letters(event.place, event.map_index), strict=True
        ):
            if letter is not None and cells[piece] >= 0:
                self._set(cells[piece], ord(letter), event.place, piece)

    def _all_others(self, event: Event) -> None:
        work = self._works[event.place]
        cells, loaded = self._matrix.cells(work), self._loaded
        letter = ord(self._staged.get(event.place, "o"))
        for piece in _others(work):
            cell = cells[piece]
            if cell >= 0 and not loaded[cell]:
                self._set(cell, letter, event.place, piece)

    def _set(self, cell: int, letter: int, place: int, piece: int) -> None:
        own = self._only is None or self._works[place].run.id == self._only
        if self.place_of[cell] < 0:
            if own:
                self.letters[cell], self.place_of[cell], self.piece_of[cell] = letter, place, piece
            elif letter == _LOADED:
                self._later[cell] = 1
                return
        if letter == _LOADED and self.place_of[cell] >= 0 and not self._loaded[cell]:
            self._loaded[cell] = 1
            self._unloaded -= 1

    def _fill(self, place: int, cells: Collection[int]) -> None:
        """Let those cells wait for a run that are not loaded."""
        for cell in cells:
            if self.letters[cell] != _LOADED:
                self.letters[cell], self.place_of[cell], self.piece_of[cell] = ord("q"), place, -1

    def _finish(self) -> None:
        for cell, letter in enumerate(self.letters):
            if letter in (_LOADED, _NONE):
                continue
            if self._later[cell] and chr(letter) in "fbu":
                self.letters[cell] = ord("h")
            elif self._loaded[cell]:
                self.letters[cell] = letter - _SMALL
        if self._matrix.product and self._matrix.size > 1:
            gone = {cell for cell in self._matrix.retired() if self.letters[cell] == _NONE}
            missing = ord("m")
            for cell, letter in enumerate(self.letters):
                if letter == _NONE and cell not in gone:
                    self.letters[cell] = missing


def _others(work: Work) -> Iterable[int]:
    """Return the pieces of a run whose instances succeeded right away."""
    pieces, tries = work.pieces, work.tries
    if not tries:
        return range(len(pieces))
    if pieces.ends is None:
        return [index for index in range(len(pieces)) if index not in tries]
    held = (pieces.held_by(index) for index in range(pieces.instances) if index not in tries)
    return chain.from_iterable(held)


def worst_of(tries: Sequence[Try]) -> Try | None:
    """Return the try that says most of what became of a piece."""
    named = [one for one in tries if one.state != "removed"]
    return min(named, key=lambda one: WORST.index(letter_of(one.state))) if named else None
