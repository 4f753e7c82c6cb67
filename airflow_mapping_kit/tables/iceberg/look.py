"""Look an Iceberg table up, so that instances need neither the catalog nor pyiceberg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.described import near
from airflow_mapping_kit.tables.iceberg.catalog import asking, catalog_of, table_of
from airflow_mapping_kit.tables.iceberg.kinds import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.table import Table as IcebergTable

    from airflow_mapping_kit.tables.described import Home, Table

# Which transforms each type of moments has.
_PERIODS = {
    "date": ("year", "month", "day"),
    "timestamp": ("year", "month", "day", "hour"),
    "timestamptz": ("year", "month", "day", "hour"),
}


def look(name: str, conn_id: str, homes: Mapping[str, Home], branch: str | None = None) -> Table:
    """Look a table up.

    :param name: `namespace.table`
    :param conn_id: the Airflow connection of its catalog
    :param homes: where dimensions live that aren't in the column of their name
    :param branch: which is published to instead of `main`
    :return: what instances and the fan-in need to know of it
    :raises TargetError: if there is no such connection, table or branch, or the kit can't write into it

    Example: `look("lake.flights", "lake", {"date": Home("departed_at", "day")})`.
    """
    with asking(conn_id, f"look up {name}"):
        table = table_of(catalog_of(conn_id), name)
    check_branch(table, name, branch)
    if table.metadata.format_version > 2:  # noqa: PLR2004  the version of Iceberg's format
        raise TargetError(
            f"the table {name} is of version {table.metadata.format_version} of Iceberg's format, and pyiceberg "
            f"doesn't write it yet: use a table of version 2"
        )
    columns = columns_of(table.schema(), name)
    _check_partitioning(table, name)
    _check_homes(table, name, homes)
    uri = table.properties.get("write.data.path", f"{table.location()}/data").rstrip("/")
    found: dict[str, Any] = {
        "mapping_kit_table": "iceberg",
        "name": name,
        "conn_id": conn_id,
        "location": _staged_below(uri),
        "columns": columns,
        "uri": uri,
        "uuid": str(table.metadata.table_uuid),
        "spec_id": table.metadata.default_spec_id,
        "branch": branch,
    }
    return cast("Table", found)


def check_branch(table: IcebergTable, name: str, branch: str | None) -> None:
    """Check that a branch is there: a misspelt one would be made.

    :raises TargetError: if it isn't, or is a tag
    """
    if branch is None:
        return
    refs = table.metadata.refs
    found = refs.get(branch)
    if found is None:
        branches = [one for one, ref in refs.items() if ref.snapshot_ref_type == "branch"]
        raise TargetError(
            f"the table {name} has no branch {branch!r}{near(branch, branches)}: make it first, "
            f"table.manage_snapshots().create_branch(...) in pyiceberg or ALTER TABLE ... CREATE BRANCH in Spark. It "
            f"has {', '.join(branches) or 'none'}"
        )
    if found.snapshot_ref_type != "branch":
        raise TargetError(
            f"{branch!r} is a tag of the table {name}, which stays as it is: publish to a branch"
        )


def check_unchanged(table: IcebergTable, described: Mapping[str, Any]) -> None:
    """Check that a table is still what instances staged for.

    :param described: as `look` returned it
    :raises TargetError: if it was made anew, is partitioned otherwise, or its columns are others
    """
    name = described["name"]
    again = "since it was looked up. Clear the task that looks it up and all after it"
    if str(table.metadata.table_uuid) != described["uuid"]:
        raise TargetError(f"the table {name} was dropped and made anew {again}")
    check_branch(table, name, described.get("branch"))
    if table.metadata.default_spec_id != described["spec_id"]:
        raise TargetError(f"the partitioning of the table {name} was changed to {_said(table)} {again}")
    now = columns_of(table.schema(), name)
    for column in described["columns"]:
        if column not in now:
            raise TargetError(
                f"the column {column['name']!r} ({column['type']}) of the table {name} was renamed, dropped or "
                f"changed {again}"
            )


def _said(table: IcebergTable) -> str:
    fields = [
        f"{one.transform}({table.schema().find_column_name(one.source_id)})" for one in table.spec().fields
    ]
    return ", ".join(fields) or "none"


def _check_partitioning(table: IcebergTable, name: str) -> None:
    for field in table.spec().fields:
        column, kind = (
            of(field.source_id) for of in (table.schema().find_column_name, table.schema().find_type)
        )
        # What a column that was dropped from a table of version 1 leaves behind is void.
        if not field.transform.preserves_order and str(field.transform) != "void":
            raise TargetError(
                f"the table {name} is partitioned by {field.transform}({column}), and rows of one partition of the "
                f"plan may fall into any of these: the kit publishes one file for each, so it takes tables that are "
                f"partitioned by columns, or their years, months, days or hours"
            )
        # Its decoder gives them back with 32 bits, also when it writes a list of other partitions' files anew.
        if str(kind) == "double":
            raise TargetError(
                f"the table {name} is partitioned by {column}, a double, and pyiceberg reads partitions of doubles "
                f"wrong: partition it by a decimal or by text"
            )


def _check_homes(table: IcebergTable, name: str, homes: Mapping[str, Home]) -> None:
    for dimension, home in homes.items():
        field = _field(table, home.column)
        # That there is such a column is for all formats to check.
        if field is None or home.transform is None:
            continue
        periods = _PERIODS.get(str(field.field_type), ())
        if home.transform not in periods:
            raise TargetError(
                f"the dimension {dimension!r} is the {home.transform} of {field.name!r}, which is of the type "
                f"{field.field_type} in the table {name}: "
                + (
                    f"that has {', '.join(f'{one}()' for one in periods)}"
                    if periods
                    else "name a column of moments"
                )
            )


def _field(table: IcebergTable, column: str) -> Any:
    return next((field for field in table.schema().fields if field.name.lower() == column.lower()), None)


def _staged_below(uri: str) -> str:
    """Return a location as instances write to it: a path where it is on disk."""
    return uri.removeprefix("file://") if uri.startswith("file://") else uri.removeprefix("file:")
