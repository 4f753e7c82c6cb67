"""Clearing and starting from the page: first a preview, then just what it showed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import ChangedError, RedriveError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.redrive import carry_out as doing
from airflow_mapping_kit.redrive import preview as previews
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.ui.looked import looked_at
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.selected import chosen
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.redrive.preview import Preview
    from airflow_mapping_kit.ui.asked import Action
    from airflow_mapping_kit.ui.who import Rights, Who

_EVENT = "mapping_kit_redrive"
_CONFLICT = 409


def preview(who: Who, dag_id: str, wanted: Action) -> dict[str, Any]:
    """Return what an action would clear and start: who sees the partitions may see that too.

    :return: as `Preview.as_json` has it.
    :raises Refused: 409, where nothing can run: a DAG that is gone, a partition that is no longer there.
    """
    rights(who, dag_id)
    return _preview(dag_id, wanted).as_json()


def redrive(who: Who, dag_id: str, wanted: Action) -> dict[str, Any]:
    """Do what a preview showed, if it still is so.

    :return: `{"cleared": 4, "started": ["missing__..."], "left": 0}`: how many instances, which runs, and how many
        instances had changed since and were left alone.
    :raises Refused: 403, where the right is missing; 409 with the new preview, where it is another one.
    """
    may = rights(who, dag_id)
    _check(may, clears=wanted.what == "failed", starts=wanted.what == "missing")
    if not (may.clear or may.start):
        raise Refused(403, _MAY_NOT_CLEAR)
    if wanted.digest is None:
        raise Refused(400, "Say the `digest` of the preview that was agreed to.")
    shown = _preview(dag_id, wanted)
    _check(may, clears=bool(shown.runs), starts=bool(shown.starts))
    extra = {"what": wanted.what, "pieces": shown.pieces}
    try:
        done = doing.carry_out(shown, Actor(_EVENT, who.name, extra), digest=wanted.digest)
    except ChangedError as error:
        raise Refused(_CONFLICT, one_line(error), preview=error.preview.as_json()) from error
    except RedriveError as error:
        raise Refused(_CONFLICT, one_line(error)) from error
    return {"cleared": done.instances, "started": list(done.started), "left": done.left}


def _preview(dag_id: str, wanted: Action) -> Preview:
    found, _ = looked_at(dag_id, wanted.task, wanted.run)
    try:
        return previews.preview(found, wanted.what, _cells(found, wanted))
    except RedriveError as error:
        raise Refused(_CONFLICT, one_line(error)) from error


def _cells(found: History, wanted: Action) -> list[int] | None:
    cells = None if wanted.pieces is None else [_cell(found, values) for values in wanted.pieces]
    if wanted.select is None:
        return cells
    selected = chosen(found, wanted.select)
    return selected if cells is None else sorted(set(cells).intersection(selected))


def _cell(found: History, values: list[str]) -> int:
    try:
        return found.cell(values)
    except KeyError as error:
        raise Refused(
            _CONFLICT, f"The partition {one_line(', '.join(values))} is no longer there: look again."
        ) from error


def _check(may: Rights, *, clears: bool, starts: bool) -> None:
    if clears and not may.clear:
        raise Refused(403, _MAY_NOT_CLEAR)
    if starts and not may.start:
        raise Refused(403, _MAY_NOT_START)


_MAY_NOT_CLEAR = "You may not clear task instances of this DAG, so nothing was done."
_MAY_NOT_START = "You may not trigger runs of this DAG, so nothing was done."
