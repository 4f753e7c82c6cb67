"""What holds of batches at work, and changing it, from the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import own_session, run_order
from airflow_mapping_kit.exceptions import SteeringError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.steering.change import change, held
from airflow_mapping_kit.ui.asked import object_of, text_of
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.stored import stored
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from airflow_mapping_kit.ui.asked import Query
    from airflow_mapping_kit.ui.who import Who

_EVENT = "mapping_kit_set"
_LATEST = "latest"


class Setting(NamedTuple):
    """What somebody wants to hold of a task in a run.

    :param changes: by the name of the setting, as text or as JSON has it.
    """

    run: str
    task: str
    changes: dict[str, Any]


def setting(body: bytes) -> Setting:
    """Return what the body of a request asks for.

    :raises Refused: 400 or 413, if it is no JSON object of this form, with what is wrong.
    """
    given = object_of(body)
    run, task = (text_of(given, name) for name in ("run", "task"))
    changes = given.get("set")
    if not (run and task and isinstance(changes, dict)):
        raise Refused(400, 'Say the `run`, the `task`, and in `set` what is to hold: {"rate": "100/m"}.')
    return Setting(run, task, changes)


def settings(who: Who, dag_id: str, query: Query) -> dict[str, Any]:
    """Return what holds of a task in a run: who sees its pieces may see that too.

    :return: `{"task", "run_id", "run_state", "at_work", "waiting", "may": bool, "settings": [{"name", "value",
        "declared", "by", "at"}]}`.
    :raises Refused: 404, where there is no such DAG, or run, or task that works on batches.
    """
    may = rights(who, dag_id)
    run, task = query.text("run"), query.text("task")
    if not (run and task):
        raise Refused(400, "Say the `run` and the `task`.")
    dag, _ = stored(dag_id)
    try:
        found = held(dag, _run_id(dag_id, run), task)
    except SteeringError as error:
        raise Refused(404, one_line(error)) from error
    return {**found.as_json(), "may": may.clear}


def set_(who: Who, dag_id: str, wanted: Setting) -> dict[str, Any]:
    """Change what holds of a task in a run, which takes the right to clear its instances.

    :return: as `settings` does.
    :raises Refused: 403, where the right is missing; 409, where it can't be, with why.
    """
    if not rights(who, dag_id).clear:
        raise Refused(403, "You may not change task instances of this DAG, so nothing was changed.")
    dag, _ = stored(dag_id)
    actor = Actor(_EVENT, who.name, {})
    try:
        found = change(dag, _run_id(dag_id, wanted.run), wanted.task, wanted.changes, actor=actor)
    except SteeringError as error:
        raise Refused(409, one_line(error)) from error
    return {**found.as_json(), "may": True}


def _run_id(dag_id: str, run: str) -> str:
    if run != _LATEST:
        return run
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    query = select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(*run_order(DagRun)).limit(1)
    with own_session() as session:
        return session.scalar(query) or run
