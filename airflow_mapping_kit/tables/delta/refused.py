"""What a Delta table can ask of who writes to it that the kit doesn't do: it is refused, before anything starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltalake import DeltaTable

_OFF = {"false", "none"}
# Settings, and what they want of a writer.
_SETTINGS = {
    "delta.appendOnly": "nothing may be replaced in it",
    "delta.columnMapping.mode": "its files have other column names than the table",
    "delta.enableRowTracking": "each row needs a number, and the kit gives none",
    "delta.enableIcebergCompatV1": "its files have to be ones of Iceberg, too",
    "delta.enableIcebergCompatV2": "its files have to be ones of Iceberg, too",
}
_CONSTRAINT = "delta.constraints."
# What is kept with a column: each would have to be checked or computed for every row.
_OF_COLUMNS = {
    "delta.invariants": "an invariant",
    "delta.generationExpression": "an expression that generates it",
    "delta.identity.start": "numbers that are given to rows",
}


def check_writable(name: str, table: DeltaTable) -> None:
    """Check that nothing is asked of writers that the kit doesn't do.

    :raises TargetError: saying what, and why it can't be
    """
    found = next(_refusals(table), None)
    if found:
        raise TargetError(
            f"The Delta table {name} can't be published to: {found}. Load it with an engine that does "
            f"that, or change the table"
        )


def _refusals(table: DeltaTable) -> Iterator[str]:
    configuration = table.metadata().configuration
    for setting, why in _SETTINGS.items():
        value = configuration.get(setting)
        if value is not None and value.lower() not in _OFF:
            yield f"{setting} is {value!r}: {why}"
    for setting, value in configuration.items():
        if setting.startswith(_CONSTRAINT):
            yield f"it has the constraint {value!r} ({setting}), which the kit doesn't check"
    for field in json.loads(table.schema().to_json())["fields"]:
        for key, what in _OF_COLUMNS.items():
            if key in field["metadata"]:
                yield f"its column {field['name']!r} has {what} ({key}), and the kit neither checks nor fills it"
