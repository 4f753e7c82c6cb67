"""Which instances have to be known one by one, because runs overlapped in time that worked on the same partitions.

What succeeded right away counts as one event of its run. That is exact as long as nothing else happened to the
partition while its run's instances began; where something did, the instance's own start decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.work import Try, Work

    Place = tuple[str, int]


class _Span(NamedTuple):
    """From when until when something may have happened."""

    first: datetime
    last: datetime

    def touches(self, other: _Span) -> bool:
        return self.first <= other.last and other.first <= self.last


def since(works: Sequence[Work]) -> dict[str, datetime]:
    """Return from when on the successes of a run are to be read: since another's first one began.

    Runs that have no partition in common, such as those of a backfill, don't matter to each other.
    """
    spans = sorted((work.span[0], work.number, work) for work in works if work.span and work.pieces)
    found = {}
    for n, (_, _, work) in enumerate(spans):
        for first, _, later in spans[n + 1 :]:
            if work.span is None or first > work.span[1]:
                break
            if work.pieces.may_share(later.pieces):
                found[work.run.id] = first
                break
    return found


def to_read(works: Sequence[Work], matrix: Matrix, bounds: Mapping[str, datetime], tasks: int) -> set[Place]:
    """Return the instances that are still to be read, by run and map index.

    :param works: with the tries that were read so far.
    :param bounds: as `since` gives it.
    :param tasks: how many instances a piece has.
    """
    together = {
        place: _Span(work.span[0], min(work.span[1], bounds.get(work.run.id, work.span[1])))
        for place, work in enumerate(works)
        if work.span and work.pieces
    }
    wanted: set[Place] = set()
    by_cell: dict[int, list[_Event]] = {}
    positions = _Positions(matrix, works)
    for place, work in enumerate(works):
        events = [
            _Event(place, index, _span(tries, together.get(place), tasks))
            for index, tries in work.tries.items()
        ]
        others = _others(place, events, together)
        for event in events:
            if not others and tasks == 1:
                break
            for cell in positions.cells(place, event.map_index):
                wanted.update(_meant(event, cell, others, positions))
                if tasks > 1:
                    by_cell.setdefault(cell, []).append(event)
    for met in by_cell.values():
        wanted.update((works[event.place].run.id, event.map_index) for event in _unsure(met))
    return wanted


class _Event(NamedTuple):
    """A piece that is known by itself, of the run at a place."""

    place: int
    map_index: int
    span: _Span


def _others(place: int, events: Sequence[_Event], together: Mapping[int, _Span]) -> dict[int, _Span]:
    """Return the other runs some of whose successes may have begun while something happened in a run."""
    if not events:
        return {}
    whole = _Span(min(one.span.first for one in events), max(one.span.last for one in events))
    return {other: span for other, span in together.items() if other != place and span.touches(whole)}


def _meant(event: _Event, cell: int, others: Mapping[int, _Span], positions: _Positions) -> Iterator[Place]:
    """Yield the instances whose order with an event is to be known."""
    for other, span in others.items():
        if event.span.touches(span):
            index = positions.index(other, cell)
            if index is not None and index not in positions.works[other].tries:
                yield positions.works[other].run.id, index
                if event.span.first < event.span.last:
                    yield positions.works[event.place].run.id, event.map_index


def _span(tries: Sequence[Try], own: _Span | None, tasks: int) -> _Span:
    """Return when a piece was tried last: of a group, whose successes were not read, until its run's last one."""
    last = max(one.moment for one in tries)
    return _Span(last, max(last, own.last)) if own is not None and len(tries) < tasks else _Span(last, last)


def _unsure(events: Sequence[_Event]) -> Iterator[_Event]:
    """Yield those of a cell's events whose order isn't known."""
    for event in events:
        if event.span.first < event.span.last:
            met = [other for other in events if other.place != event.place and other.span.touches(event.span)]
            yield from (event, *met) if met else ()


class _Positions:
    """Where in each run a cell is."""

    def __init__(self, matrix: Matrix, works: Sequence[Work]) -> None:
        self._matrix, self.works = matrix, works
        self._places: dict[int, dict[int, int]] = {}

    def cells(self, place: int, index: int) -> Iterator[int]:
        work = self.works[place]
        if index < work.pieces.instances:
            cells = self._matrix.cells(work)
            for piece in work.pieces.held_by(index):
                if cells[piece] >= 0:
                    yield cells[piece]

    def index(self, place: int, cell: int) -> int | None:
        pieces = self.works[place].pieces
        known = self._places.get(id(pieces))
        if known is None:
            cells = self._matrix.cells(self.works[place])
            known = self._places[id(pieces)] = {cell: piece for piece, cell in enumerate(cells)}
        piece = known.get(cell)
        return None if piece is None else pieces.holder(piece)
