"""Which runs load partitions that no run has: what the form of `reload_params` is to say in each."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import own_session, refused_run_id, validated_params
from airflow_mapping_kit.partitions import batches
from airflow_mapping_kit.redrive.conf import CannotTellError, Told
from airflow_mapping_kit.redrive.rectangles import rectangles, size
from airflow_mapping_kit.results import FINISHED_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.redrive.rectangles import Rectangle

# So many runs are started at once, and so many partitions are named one by one in a run.
MAX_RUNS = 12
_MAX_NAMED = 1_000
# The same partitions may be missing again after the run that was to load them has ended.
_TRIES = 9


class Start(NamedTuple):
    """A run that is to be started.

    :param run_id: the same for the same partitions, so that they are not loaded twice at a time.
    :param conf: what it is triggered with.
    :param pieces: how many partitions it loads.
    """

    run_id: str
    conf: dict[str, Any]
    pieces: int


def starts(found: History, cells: Sequence[int]) -> tuple[list[Start], list[str]]:
    """Return the runs that load just some partitions, and what has to be said of them.

    :param cells: those of the history that are to be loaded.
    """
    if not cells:
        return [], []
    dag = found.target.mapped.dag
    try:
        confs, left = _confs(found, Told.of(found), cells)
        _check(dag, [conf for conf, _ in confs])
    except CannotTellError as error:
        return [], [str(error)]
    made, notes = _with_ids(dag.dag_id, confs)
    if left:
        loaded = sum(pieces for _, pieces in confs)
        notes.append(
            f"{loaded:,} of {loaded + left:,} missing partitions: no more than {MAX_RUNS} runs are started at once. "
            f"Load the others when these are there, or choose a part of them."
        )
    return made, notes


def _confs(found: History, told: Told, cells: Sequence[int]) -> tuple[list[tuple[dict[str, Any], int]], int]:
    """Return what each run is told, with the number of its partitions, and how many are left for another time."""
    names = [one.name for one in found.dimensions]
    span = names.index(told.plan.dimension)
    places = [{value: place for place, value in enumerate(one.values)} for one in found.dimensions]
    points = [
        tuple(place[value] for place, value in zip(places, found.values(cell), strict=True)) for cell in cells
    ]
    most = _most_pieces(found)
    parts = [part for one in rectangles(points, span) for part in _parted(one, span, most)]
    made: list[tuple[dict[str, Any], int]] = []
    rest: list[Rectangle] = []
    room = MAX_RUNS if len(parts) <= MAX_RUNS or not told.selects else MAX_RUNS - 1
    for part in parts:
        values = {
            one.name: [one.values[n] for n in sorted(numbers)]
            for one, numbers in zip(found.dimensions, part, strict=True)
        }
        conf = told.rectangle(values) if len(made) < room else None
        if conf is None:
            rest.append(part)
        else:
            made.append((conf, size(part)))
    named = sorted(found.cell(one) for part in rest for one in _points(found, part)) if told.selects else []
    for some in batches(named, batch_size=min(_MAX_NAMED, most)) if named else ():
        if len(made) < MAX_RUNS:
            made.append((told.named(found, some), len(some)))
    if not made and rest:
        raise CannotTellError(
            f"The form of {found.dag_id} takes whole days and has no selection, so a run would load more than "
            "these partitions. Start a run by hand, in mode custom."
        )
    return made, len(cells) - sum(pieces for _, pieces in made)


def _most_pieces(found: History) -> int:
    """Return how many partitions a run may have: Airflow maps over no more of what one task returns."""
    from airflow.configuration import conf as settings

    if found.target.batched is not None:
        return 10**6
    return int(settings.getint("core", "max_map_length", fallback=1024))


def _parted(one: Rectangle, span: int, most: int) -> list[Rectangle]:
    """Return a rectangle in parts of at most so many points, cut between periods."""
    width = max(1, size(one) // len(one[span]))
    periods = max(1, most // width)
    return [
        (*one[:span], frozenset(part), *one[span + 1 :])
        for part in batches(sorted(one[span]), batch_size=periods)
    ]


def _points(found: History, one: Rectangle) -> Iterable[list[str]]:
    rows: list[list[str]] = [[]]
    for dimension, numbers in zip(found.dimensions, one, strict=True):
        rows = [[*row, dimension.values[n]] for row in rows for n in sorted(numbers)]
    return rows


def _check(dag: Any, confs: Iterable[dict[str, Any]]) -> None:
    """Refuse what the DAG's params don't allow, before any run is started."""
    try:
        for conf in confs:
            validated_params(dag, conf)
    except ValueError as error:
        raise CannotTellError(
            f"The params of {dag.dag_id} don't allow the conf of these runs: {error} Start them by hand."
        ) from None


def _with_ids(dag_id: str, confs: Iterable[tuple[dict[str, Any], int]]) -> tuple[list[Start], list[str]]:
    """Return the runs with their ids, without those that are on their way."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    ids = [_ids(conf) for conf, _ in confs]
    if not ids:
        return [], []
    refused = refused_run_id([of_one[0] for of_one in ids])
    if refused is not None:
        return [], [
            f"No run can be started, since this Airflow allows no id like {refused[0]}: its [scheduler] "
            f"allowed_run_id_pattern is {refused[1]!r}. Have it allow ids that begin with missing__."
        ]
    query = select(DagRun.run_id, DagRun.state).where(
        DagRun.dag_id == dag_id, DagRun.run_id.in_([one for of_one in ids for one in of_one])
    )
    with own_session() as session:
        states = {run_id: str(getattr(state, "value", state)) for run_id, state in session.execute(query)}
    made, notes = [], []
    for of_one, (conf, pieces) in zip(ids, confs, strict=True):
        on_its_way = next((one for one in of_one if states.get(one, "success") not in FINISHED_RUN), None)
        free = next((one for one in of_one if one not in states), None)
        if on_its_way is not None:
            notes.append(f"The run {on_its_way}, which loads {pieces:,} of them, is on its way already.")
        elif free is None:
            notes.append(
                f"{len(of_one)} runs {of_one[0]} have ended, and their {pieces:,} partitions are missing still: look "
                f"why, then start another one by hand."
            )
        else:
            made.append(Start(free, conf, pieces))
    return made, notes


def _ids(conf: dict[str, Any]) -> list[str]:
    digest = hashlib.sha256(json.dumps(conf, sort_keys=True).encode()).hexdigest()[:12]
    first = f"missing__{conf['start_date']}__{conf['end_date']}__{digest}"
    return [first, *(f"{first}__{n}" for n in range(2, _TRIES + 1))]
