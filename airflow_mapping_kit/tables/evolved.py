"""What became of a table between looking it up and publishing into it, where what is staged must still fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.tables.described import Column, Table


def check_columns(table: Table, now: Sequence[Column]) -> None:
    """Check that the table still has the columns that instances staged; a new one that may be `NULL` does no harm.

    :param now: the columns as they are.
    :raises TargetError: naming the column that was dropped, renamed, changed or is wanted now
    """
    staged = {column["name"]: column for column in table["columns"]}
    present = {column["name"]: column for column in now}
    changes = [
        *(f"{name} is gone" for name in staged if name not in present),
        *(
            f"{name} was {column['type']} and is {present[name]['type']}"
            for name, column in staged.items()
            if name in present and present[name]["type"] != column["type"]
        ),
        *(
            f"{name} may not be NULL any more"
            for name, column in present.items()
            if column["required"] and not staged.get(name, {"required": False})["required"]
        ),
    ]
    if changes:
        raise changed(table, "; ".join(changes))


def changed(table: Table, how: str) -> TargetError:
    """Return the error of a table that isn't the one any more that instances staged for."""
    return TargetError(
        f"the table {table['name']} was changed after it was looked up, and what is staged doesn't fit it any more: "
        f"{how}. Nothing is published: clear the task that looks it up, and all that follow"
    )
