"""Metrics of pieces, where an instance ends: so many succeeded, failed, are tried again; rows, bytes and files.

Their names are bounded by the number of DAGs and tasks: no key, no run and no partition is part of one.
"""

from __future__ import annotations

import re
from typing import Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.guarded import guarded
from airflow_mapping_kit.lineage.done import Done
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SUCCESS

_PREFIX = "mapping_kit"
# What StatsD takes in a name, and how long Airflow lets one be.
_STRANGE = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 250
# What `label` writes into a template.
_LABEL = "macros.mapping_kit."


@hookimpl
@guarded
def on_task_instance_success(task_instance: Any) -> None:
    """Count the pieces of an instance that succeeded."""
    _count(task_instance, "succeeded")


@hookimpl
@guarded
def on_task_instance_failed(task_instance: Any) -> None:
    """Count the pieces of an instance that failed, as such or as to be tried again."""
    _count(task_instance, "retried" if task_instance.state == "up_for_retry" else "failed")


def _count(task_instance: Any, ended: str) -> None:
    task = getattr(task_instance, "task", None)
    # The row of the database, which Airflow 3 tells its API server's listeners of, is no instance at work.
    if task is None or not hasattr(task_instance, "get_template_context"):
        return
    done = getattr(task, "done", None)
    if not isinstance(done, Done):
        # Nothing was done, or an operator that isn't the kit's has something else by this name.
        done = None
    pieces = _pieces(task_instance, task, done, ended)
    if not pieces and done is None:
        return
    from airflow_mapping_kit.compat import count, named_by_place

    # What is staged is counted where it is published.
    sizes = (
        {} if done is None or done.staged else {"rows": done.rows, "bytes": done.bytes, "files": done.files}
    )
    place = {"dag_id": task_instance.dag_id, "task_id": task_instance.task_id}
    suffix = ".".join(_STRANGE.sub("_", text.replace(".", "__")) for text in place.values())
    for name, number in {**{f"pieces.{how}": number for how, number in pieces.items()}, **sizes}.items():
        if not number:
            continue
        count(f"{_PREFIX}.{name}", place, number, in_task=True)
        longer = f"{_PREFIX}.{name}.{suffix}"
        if named_by_place() and len(longer) <= _LONGEST:
            count(longer, {}, number, in_task=True)


def _pieces(task_instance: Any, task: Any, done: Any, ended: str) -> dict[str, int]:
    """Return how many pieces of an instance ended how in this try."""
    if done is not None and done.states:
        failed = done.states[FAILED] + done.states[NOT_STARTED]
        return {"succeeded": done.states[SUCCESS], "retried" if ended == "retried" else "failed": failed}
    index = task_instance.map_index
    if index is None or index < 0 or not _is_a_piece(task):
        return {}
    # Of a batch that didn't begin, or whose worker was killed, nobody knows what became of its items.
    return {ended: 1}


def _is_a_piece(task: Any) -> bool:
    """Tell whether a mapped task is one that the kit knows of: labelled, collected, or an operator of it."""
    from airflow_mapping_kit.plans.mapped import is_collected

    labelled = _LABEL in (getattr(task, "map_index_template", None) or "")
    return labelled or isinstance(getattr(task, "done", ""), Done | None) or is_collected(task)
