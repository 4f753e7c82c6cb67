"""What the catalog of a DuckLake says of a table, as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import identifier, literal
from airflow_mapping_kit.tables.described import near
from airflow_mapping_kit.tables.ducklake.attached import LAKE, data_path

if TYPE_CHECKING:
    from airflow_mapping_kit.tables.described import Column
    from airflow_mapping_kit.tables.ducklake.attached import Lake


@dataclass(frozen=True)
class Found:
    """A table of a DuckLake.

    :param number: by which the catalog knows it.
    :param uuid: which no other table ever has.
    :param schema: as the catalog has it.
    :param name: the same.
    :param location: where its files are, without a slash at its end.
    :param columns: in their order.
    :param by: the columns that it is partitioned by, and how, in their order.
    """

    number: int
    uuid: str
    schema: str
    name: str
    location: str
    columns: list[Column]
    by: list[tuple[str, str]]

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return ".".join(map(identifier, (LAKE, self.schema, self.name)))


def found_table(lake: Lake, name: str) -> Found:
    """Return a table by its name, upper or lower case: `main.flights`, or `flights` of the schema `main`.

    :raises TargetError: if there is none, with those whose names are near
    """
    if not isinstance(name, str):
        raise TargetError(f"{shown(name)} is no name of a table: write schema.table")
    schema, _, table = name.rpartition(".")
    wanted = (schema.lower() or "main", table.lower())
    rows = lake.rows(
        f"SELECT t.table_id, t.table_uuid::VARCHAR, s.schema_name, t.table_name, s.path, s.path_is_relative, "  # noqa: S608
        f"t.path, t.path_is_relative FROM {lake.catalog('table')} AS t JOIN {lake.catalog('schema')} AS s "
        f"USING (schema_id) WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL"
    )
    for number, uuid, in_schema, called, *paths in rows:
        if (in_schema.lower(), called.lower()) == wanted:
            columns: list[Column] = [
                {"name": column, "type": kind, "required": null == "NO"}
                for column, kind, null, *_ in lake.rows(
                    f"DESCRIBE {'.'.join(map(identifier, (LAKE, in_schema, called)))}"
                )
            ]
            location = _location(lake, *paths)
            return Found(number, uuid, in_schema, called, location, columns, _partitioned(lake, number))
    names = [
        called if in_schema == "main" else f"{in_schema}.{called}" for _, _, in_schema, called, *_ in rows
    ]
    raise TargetError(
        f"The DuckLake has no table {name!r}{near(name, names)}: make it, or name it as schema.table. "
        f"It has {', '.join(sorted(names)[:20]) or 'none'}"
    )


def known_files(lake: Lake, found: Found) -> set[str]:
    """Return the paths of all files that a snapshot of a table names, or that wait for their deletion."""
    files = lake.rows(
        f"SELECT path, path_is_relative FROM {lake.catalog('data_file')} WHERE table_id = {found.number}"  # noqa: S608
    )
    waiting = lake.rows(f"SELECT path, path_is_relative FROM {lake.catalog('files_scheduled_for_deletion')}")  # noqa: S608
    base = data_path(lake)
    return {f"{found.location}/{path}" if relative else path for path, relative in files} | {
        f"{base}/{path}" if relative else path for path, relative in waiting
    }


def replaced_files(lake: Lake, found: Found, snapshot: int) -> int:
    """Return how many files of a table a snapshot took out."""
    return int(
        lake.one(
            f"SELECT count(*) FROM {lake.catalog('data_file')} "  # noqa: S608
            f"WHERE table_id = {found.number} AND end_snapshot = {snapshot}"
        )
    )


def earlier_commits(lake: Lake, run: str) -> list[tuple[int, str]]:
    """Return the snapshots that one run has made, newest first, and what they tell.

    :param run: as `told.run_in` returns it
    """
    return lake.rows(
        f"SELECT snapshot_id, commit_extra_info FROM {lake.catalog('snapshot_changes')} "  # noqa: S608
        f"WHERE commit_extra_info LIKE {literal(run + '#%')} ORDER BY snapshot_id DESC"
    )


def _location(lake: Lake, schema: str, schema_relative: bool, table: str, table_relative: bool) -> str:
    base = f"{data_path(lake)}/{schema}" if schema_relative else schema
    return (f"{base.rstrip('/')}/{table}" if table_relative else table).rstrip("/")


def _partitioned(lake: Lake, number: int) -> list[tuple[str, str]]:
    return lake.rows(
        f"SELECT c.column_name, p.transform FROM {lake.catalog('partition_info')} AS i "  # noqa: S608
        f"JOIN {lake.catalog('partition_column')} AS p USING (partition_id, table_id) "
        f"JOIN {lake.catalog('column')} AS c ON c.table_id = i.table_id AND c.column_id = p.column_id "
        f"WHERE i.table_id = {number} AND i.end_snapshot IS NULL AND c.end_snapshot IS NULL "
        f"ORDER BY p.partition_key_index"
    )
