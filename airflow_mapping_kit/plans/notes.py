"""Notes about tasks that a serialized DAG would lose, written into each task when its file is parsed.

The scheduler, the web server and the API server have no DAG files. They don't know the classes of operators, or any
attribute that Airflow doesn't serialize. A task keeps its note in `template_fields_renderers`, which Airflow 2 and 3
serialize. No field has the name of the note, so nothing is rendered with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import is_mapped, is_serialized

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD = "mapping_kit"
# The classes of fan-ins, by the names that a serialized DAG has of them.
_FAN_INS = {"CollectOperator", "PublishOperator"}


def write(operator: Any, note: Mapping[str, Any]) -> None:
    """Write a note about a declared operator, for processes that have only the serialized DAG."""
    # The class has one dict for all.
    operator.template_fields_renderers = {**operator.template_fields_renderers, _FIELD: json.dumps(note)}


def noted(operator: Any) -> Mapping[str, Any] | None:
    """Return the note about an operator of a serialized DAG, nothing if there is none.

    :return: `None` for a declared operator, which needs no note.
    """
    if not is_serialized(operator):
        return None
    note: Mapping[str, Any] = json.loads(_text(operator) or "{}")
    return note


def without_note(dag: Any) -> list[str]:
    """Return the ids of the tasks of a DAG that need a note and have none, in alphabetical order.

    A declared DAG has no such tasks.
    """
    return sorted(
        task.task_id
        for task in dag.task_dict.values()
        if is_serialized(task)
        and (getattr(task, "task_type", "") in _FAN_INS or is_mapped(task))
        and _text(task) is None
    )


def said_of_missing(dag: Any) -> str | None:
    """Return a sentence about the missing notes of a serialized DAG, `None` if none is missing."""
    tasks = without_note(dag)
    if not tasks:
        return None
    return (
        f"It is unknown which pieces of {', '.join(tasks)} are batches, and which task of a group returns its "
        f"value. Airflow parsed the file of {dag.dag_id!r} with an earlier airflow-mapping-kit, or without it. "
        "Install this version where DAG files are parsed, and let Airflow parse the file again."
    )


def _text(operator: Any) -> str | None:
    text: str | None = (getattr(operator, "template_fields_renderers", None) or {}).get(_FIELD)
    return text
