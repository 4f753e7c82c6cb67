"""Which tasks a fan-in waits for: of those it needs the records."""

from __future__ import annotations

from typing import Any


def is_collected(task: Any) -> bool:
    """Tell whether a fan-in waits for a task."""
    return any(
        task.task_id in getattr(other, "collected_task_ids", ()) for other in task.dag.task_dict.values()
    )
