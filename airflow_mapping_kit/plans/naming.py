"""The fields that name a piece, if the DAG's author has chosen some: the `key=` of generators and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_fields(key: Any) -> None:
    """Check that `key=` names fields: one name, or a list of names; `None` means all.

    :raises PlanError: naming the value.
    """
    fields = fields_of(key)
    if fields is not None and not (
        isinstance(fields, list | tuple)
        and fields
        and all(isinstance(one, str) and one for one in fields)
        and len(set(fields)) == len(fields)
    ):
        raise PlanError(
            f"key={shown(key)}: give the name of a field of the items, or a list of names: key='id'."
        )


def fields_of(key: Any) -> Sequence[str] | None:
    """Return the names of the fields, `None` for all. `"id"` gives `["id"]`."""
    return [key] if isinstance(key, str) else key


def check_named(whose: str, what: str, key: Any, items: Sequence[Any]) -> None:
    """Check that items have the fields that name them.

    :param whose: the task that made or takes them.
    :param what: their name in errors, such as `item 3 of the batch`, with `{}` for the number.
    :raises PlanError: naming the first item that lacks one, without its values.
    """
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise PlanError(
                f"{whose}: key={shown(key)} names fields, and {what.format(number)} is of type "
                f"{type(item).__name__}. Leave key= out, or make the items dicts."
            )
        missing = [name for name in fields_of(key) or () if name not in item]
        if missing:
            raise PlanError(
                f"{whose}: {what.format(number)} has no field {shown(missing[0])}, which key= names. Its fields "
                f"are {shown(sorted(map(str, item)))}."
            )
