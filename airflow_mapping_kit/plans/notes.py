"""What a serialized DAG forgets of its tasks, noted in each of them when its file is read.

The scheduler, the web server and the API server have no files: the classes of operators are gone there, and whatever
is no field of Airflow's. A task keeps its note among the renderers of its templated fields, which both lines of Airflow
serialize: there is no field of that name, so none is rendered by it, and nobody sees it.
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
    """Note something about a declared operator, for whoever has its DAG without the file."""
    # The class has one dict for all.
    operator.template_fields_renderers = {**operator.template_fields_renderers, _FIELD: json.dumps(note)}


def noted(operator: Any) -> Mapping[str, Any] | None:
    """Return what was noted about an operator of a serialized DAG, nothing where it was not.

    :return: `None` for a declared operator, of which all is known.
    """
    if not is_serialized(operator):
        return None
    note: Mapping[str, Any] = json.loads(_text(operator) or "{}")
    return note


def without_note(dag: Any) -> list[str]:
    """Return the ids of those tasks of a DAG of which a note is needed and missing, in alphabetical order.

    Of a declared DAG there are none.
    """
    return sorted(
        task.task_id
        for task in dag.task_dict.values()
        if is_serialized(task)
        and (getattr(task, "task_type", "") in _FAN_INS or is_mapped(task))
        and _text(task) is None
    )


def said_of_missing(dag: Any) -> str | None:
    """Return a sentence about notes that are missing in a serialized DAG, `None` where none is."""
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
