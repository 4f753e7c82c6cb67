"""What became of one partition in every run that had it, as the page gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.history.piece import history_of
from airflow_mapping_kit.history.pieces import BY_BATCH, BY_KEY
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.looked import looked_at
from airflow_mapping_kit.ui.matrix import what_of
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.stored import stored
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.history.piece import Tried, Turn
    from airflow_mapping_kit.ui.asked import Query
    from airflow_mapping_kit.ui.who import Who


def piece(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return what became of one partition in every run that had it, the newest first.

    :param query: `value`, as often as there are dimensions, in their order.
    :return: `{"values", "key", "history": [{"run", "kind", "what", "state", "index", "tasks"}]}`.
    :raises Refused: 404, where there is no such DAG, mapped task or partition.
    """
    may = rights(who, dag_id)
    values, task = query.texts("value"), query.text("task")
    found, _ = looked_at(dag_id, task, None)
    try:
        cell = found.cell(values)
    except KeyError as error:
        raise Refused(
            404, f"{found.target.name} has no partition {one_line(', '.join(values))!r}, or not any more."
        ) from error
    dag, _ = stored(dag_id)
    turns = history_of(dag, _named(found, cell), found.target.name)
    return {
        "values": values,
        "key": found.key(cell),
        "history": [_turn(turn, errors=may.errors) for turn in turns],
    }


def _named(found: History, cell: int) -> str | dict[str, str]:
    """Return a partition by its values, or where a list has them by its key: a long one is cut in that."""
    by_key = [one.name for one in found.dimensions] in ([BY_KEY], [BY_BATCH])
    return found.key(cell) if by_key else found.partition(cell)


def _turn(turn: Turn, *, errors: bool) -> dict[str, Any]:
    return {
        "run": turn.run.id,
        "kind": turn.run.kind,
        "what": what_of(turn.run.conf),
        "state": turn.state,
        "index": turn.map_index,
        "tasks": [_tried(one, errors=errors) for one in turn.tasks],
    }


def _tried(one: Tried, *, errors: bool) -> dict[str, Any]:
    return {
        "task": one.task_id,
        "state": one.state,
        "tries": one.try_number,
        "start": one.started and one.started.isoformat(),
        "seconds": None if one.seconds is None else round(one.seconds, 3),
        "label": one.label,
        "error": one.error if errors else None,
    }
