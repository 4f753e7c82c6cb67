"""Which partitions are stale: loaded before something changed that they were made from, as far as events say so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.history.axes import cadence_of
from airflow_mapping_kit.history.changes import Changes, changes, upstream
from airflow_mapping_kit.partitions.concerned import (
    NO_KEY,
    OTHER_DIMENSIONS,
    OVERLAPS,
    Axis,
    Concerned,
    concerned,
)
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, components
from airflow_mapping_kit.partitions.periods import has_minutes
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.reckoning import Reckoning
    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Try, Work

LOADED, STALE = ord("o"), ord("t")
_NUMBER = re.compile(r"#\d+\Z")
_UNKNOWN = {
    OTHER_DIMENSIONS: "have no dimension in common with these partitions",
    OVERLAPS: "are of periods that overlap with those of these partitions, neither within the other",
    NO_KEY: "have keys that don't say of which partition they are",
}


class Stale(NamedTuple):
    """What is stale.

    :param since: of each cell that is, when what it was made from changed last.
    :param notes: what can't be known, a sentence each.
    """

    since: dict[int, datetime]
    notes: list[str]


def find_stale(
    dag: Any,
    target: Target,
    works: Sequence[Work],
    matrix: Matrix,
    reckoning: Reckoning,
    tables: Tables,
) -> Stale:
    """Return which cells are loaded, but began to be before one of the assets that they are made from changed.

    At most three queries, and none of a DAG that reads no assets.

    :param works: what the runs did, newest first, as the reckoning has them.
    """
    sources = upstream(dag, target.task_ids)
    loaded = [cell for cell, letter in enumerate(reckoning.letters) if letter == LOADED] if sources else []
    if not loaded:
        return Stale({}, [])
    found = changes(sources, _earliest(target, works, reckoning, loaded), tables.session)
    tables.queries += found.queries
    if not found.newest:
        return Stale({}, _notes(found, Concerned({}, {})))
    touched = _concerned(target, matrix, found)
    since: dict[int, datetime] = {}
    unsure: dict[int, datetime] = {}
    for cell, moment in touched.newest.items():
        if reckoning.letters[cell] != LOADED:
            continue
        first, last = _span(target, works, reckoning, cell)
        if moment > last:
            since[cell] = moment
        elif moment > first:
            unsure[cell] = moment
    if unsure:
        since.update(_looked_up(unsure, works, reckoning, tables))
    return Stale(since, _notes(found, touched))


def _earliest(target: Target, works: Sequence[Work], reckoning: Reckoning, loaded: Iterable[int]) -> datetime:
    """Return when the first of some cells may have begun: what changed earlier makes none of them stale."""
    places: set[int] = set()
    moments = []
    for cell in loaded:
        tries = reckoning.tries(cell)
        if tries:
            moments.append(_began(target, works[reckoning.place_of[cell]], tries)[0])
        else:
            places.add(reckoning.place_of[cell])
    return min([*moments, *(_began(target, works[place], ())[0] for place in places)])


def _span(
    target: Target, works: Sequence[Work], reckoning: Reckoning, cell: int
) -> tuple[datetime, datetime]:
    """Return from when until when the newest try of a cell's partition may have begun to read."""
    return _began(target, works[reckoning.place_of[cell]], reckoning.tries(cell))


def _began(target: Target, work: Work, tries: Sequence[Try]) -> tuple[datetime, datetime]:
    moments = [one.moment for one in tries]
    if moments and len(target.task_ids) == 1:
        return min(moments), min(moments)
    # Of a group the first task reads, and only those of its tasks that are no plain success are known.
    first, last = work.span or (work.run.started, work.run.started)
    return min([first, *moments]), max(first, last)


def _looked_up(
    unsure: dict[int, datetime], works: Sequence[Work], reckoning: Reckoning, tables: Tables
) -> dict[int, datetime]:
    """Return those that changed after they had begun, of partitions whose runs were at work when they changed."""
    place = {
        cell: (work.run.id, work.pieces.holder(reckoning.piece_of[cell]))
        for cell in unsure
        for work in [works[reckoning.place_of[cell]]]
    }
    began = tables.began({run_id for run_id, _ in place.values()}, max(unsure.values()))
    return {
        cell: moment
        for cell, moment in unsure.items()
        if place[cell] in began and began[place[cell]] < moment
    }


def _concerned(target: Target, matrix: Matrix, found: Changes) -> Concerned:
    zone = load_zone(target.form.zone if target.form else next(iter(target.steps.values()), "UTC"))
    if matrix.by_key:
        keys = [_NUMBER.sub("", key) for key in matrix.dimensions[0].values]
        return of_keys(
            keys, found.newest, zone, next((one for one in target.steps if has_minutes(one)), None)
        )
    axes = [Axis(one.name, one.values, one.cadence) for one in matrix.dimensions]
    return concerned(axes, found.newest.items(), zone)


def of_keys(keys: Sequence[str], newest: Mapping[str, datetime], zone: Any, every: str | None) -> Concerned:
    """Return which of some partitions the changes of others concern, by their places in a list of keys.

    :param every: how long their periods last, where that is known: with minutes their keys don't say it.
    """
    try:
        return concerned(*_axes_of(keys, newest, zone, every))
    except PartitionError:
        # No partitions, or of several schemes: only what has the same key is known to be the same.
        return Concerned({cell: newest[key] for cell, key in enumerate(keys) if key in newest}, {})


def _axes_of(
    keys: Sequence[str], newest: Mapping[str, datetime], zone: Any, every: str | None
) -> tuple[Any, ...]:
    """Return what `concerned` takes, of partitions that are listed by their keys."""
    parts = [components(key) for key in keys]
    names = sorted(parts[0]) if parts else []
    if any(part.keys() != parts[0].keys() for part in parts):
        raise PartitionError("the partitions have different dimensions")
    columns = [
        [DEFAULT_PARTITION if part[name] is None else str(part[name]) for part in parts] for name in names
    ]
    values = [list(dict.fromkeys(column)) for column in columns]
    places = [{value: place for place, value in enumerate(one)} for one in values]
    axes = [Axis(name, one, cadence_of(one, every)) for name, one in zip(names, values, strict=True)]
    at = ([place[value] for value in column] for place, column in zip(places, columns, strict=True))
    return axes, newest.items(), zone, list(zip(*at, strict=True))


def unknown_of(touched: Concerned) -> list[str]:
    """Return what is not known of changes, a sentence each."""
    return [
        f"{len(keys):,} partitions that changed upstream, such as {shown(keys[0])}, {_UNKNOWN[reason]}: whether "
        f"these are stale for it is not known."
        for reason, keys in touched.unknown.items()
    ]


def _notes(found: Changes, touched: Concerned) -> list[str]:
    notes = unknown_of(touched)
    # Of a DAG whose upstream never says which partitions changed there is nothing to expect.
    if found.newest:
        notes += [
            f"{shown(uri)} changed at {moment:%Y-%m-%d %H:%M:%S} UTC without saying which partitions: whether what was "
            f"loaded before is stale for it is not known."
            for uri, moment in sorted(found.silent.items())
        ]
    if found.since is not None:
        notes.append(
            f"More changed upstream than is looked at: only what changed since {found.since:%Y-%m-%d %H:%M:%S} UTC is "
            f"known to make partitions stale."
        )
    return notes
