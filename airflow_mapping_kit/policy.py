"""Airflow's policy hooks: labels for instances as they are made, and what those need of a DAG's file.

Airflow does not start where a policy module fails to import: what is needed is imported when it is used.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from airflow import policies

from airflow_mapping_kit.guarded import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# What `label` writes into a template. Anything else is somebody else's, and costs a look at an attribute.
_MARK = "macros.mapping_kit.label"
_ENDED = ("success", "failed", "skipped", "upstream_failed")


def hook(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function one of Airflow's hooks, unless Airflow has another hook of that name: it would not start."""
    spec = getattr(policies, function.__name__, None)
    mark = getattr(policies, "hookimpl", None)
    arguments = inspect.signature(function).parameters
    if spec is None or mark is None or not arguments.keys() <= inspect.signature(spec).parameters.keys():
        log.warning(
            "This Airflow has no policy hook %s(%s), so this airflow-mapping-kit has switched off early labels; "
            "all else of it works.",
            function.__name__,
            ", ".join(arguments),
        )
        return function
    marked: Callable[..., None] = mark(function)
    return marked


@hook
@guarded
def task_instance_mutation_hook(task_instance: Any) -> None:
    """Give an instance the label of its task when it is made, not when its work is done."""
    task = getattr(task_instance, "task", None)
    if getattr(task_instance, "state", None) in _ENDED:
        # Airflow looks at the task of an instance that has ended when somebody clears it.
        from airflow_mapping_kit.listeners.waiting import cleared

        cleared(task_instance)
        return
    if task is None or _MARK not in (getattr(task, "map_index_template", None) or ""):
        return
    # An instance that is not mapped, or that no run knows yet (a query each).
    index = task_instance.map_index
    if index is None or index < 0 or not task_instance.run_id:
        return
    from airflow_mapping_kit.compat import label_of, set_label
    from airflow_mapping_kit.plans import early_labels

    if label_of(task_instance) or not early_labels.possible():
        return
    found = early_labels.of_instance(
        task, dag_id=task_instance.dag_id, run_id=task_instance.run_id, map_index=index
    )
    set_label(task_instance, found)


@hook
@guarded
def task_policy(task: Any) -> None:
    """Note what serialized DAGs do not have of a task; have a template that says more than a label render as one."""
    template = getattr(task, "map_index_template", None) or ""
    if not (_MARK in template or _has_to_do_with_pieces(task)):
        return
    from airflow_mapping_kit import labels
    from airflow_mapping_kit.compat import parts
    from airflow_mapping_kit.plans import notes
    from airflow_mapping_kit.plans.forgotten import note_about

    if parts.switched_off(parts.LABELS):
        return
    note = note_about(task)
    if note is not None:
        notes.write(task, note)
    composed = labels.composed(template) if _MARK in template else None
    if composed is not None:
        task.map_index_template = composed


def _has_to_do_with_pieces(task: Any) -> bool:
    """Tell whether a task is mapped, or within a mapped group, or a fan-in."""
    return (
        hasattr(task, "partial_kwargs")
        or hasattr(task, "collected_task_ids")
        or any(True for _ in getattr(task, "iter_mapped_task_groups", tuple)())
    )
