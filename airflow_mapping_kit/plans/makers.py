"""Which task made the batches of another task."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.compat import expand_input_of, is_mapped
from airflow_mapping_kit.plans.batches import batch_parameter_of, given_to
from airflow_mapping_kit.plans.notes import noted


def maker_of(operator: Any) -> str | None:
    """Return the unmapped task that made an operator's batches, however many mapped tasks are between them.

    :param operator: as its DAG keeps it.
    :return: its id; `None` for a literal, and for an operator that takes no batches.
    """
    note = noted(operator)
    if note is not None:
        return note.get("maker")
    parameter = batch_parameter_of(operator)
    if parameter is None:
        return None
    given = given_to(operator, parameter)
    if given is None:  # it is in sets of arguments, or in those of the group
        given = expand_input_of(operator)
    waiting = [one for one, _ in given.iter_references()] if hasattr(given, "iter_references") else []
    seen = set()
    while waiting:
        one = waiting.pop(0)
        if not is_mapped(one):
            return str(one.task_id)
        if one.task_id not in seen:
            seen.add(one.task_id)
            waiting += one.upstream_list
    return None
