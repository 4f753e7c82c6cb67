"""What must be noted about a task before its DAG is serialized."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import expand_input_of, is_mapped
from airflow_mapping_kit.plans.batches import (
    batched,
    declared_settings_of,
    items_key_of,
    keeps_what_is_done,
)
from airflow_mapping_kit.plans.makers import maker_of
from airflow_mapping_kit.plans.mapped import collected_by

if TYPE_CHECKING:
    from collections.abc import Mapping


def note_about(operator: Any) -> Mapping[str, Any] | None:
    """Return what must be noted about a declared operator, `None` if it has nothing to do with pieces.

    For an operator that is mapped over two lists it is `{"order": ["a", "b"]}`: a serialized DAG may sort them, and
    their order decides which instance gets which values.
    """
    collected = collected_by(operator)
    if collected is not None:
        return {"collects": collected._asdict()}
    if not is_mapped(operator):
        return None
    note: dict[str, Any] = {}
    value = getattr(expand_input_of(operator), "value", None)
    if isinstance(value, dict) and len(value) > 1:
        note["order"] = list(value)
    how = batched(operator)
    if how is not None:
        note["batched"] = asdict(how)
        note["items_key"] = items_key_of(operator)
        note["keeps_what_is_done"] = keeps_what_is_done(operator)
        note["maker"] = maker_of(operator)
        settings = declared_settings_of(operator)
        if settings is not None:
            note["settings"] = settings
    return note
