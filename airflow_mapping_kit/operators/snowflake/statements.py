"""What is asked of Snowflake about files: load them, and how their earlier loads ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.operators.snowflake.names import literal, quoted
from airflow_mapping_kit.operators.snowflake.refusals import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_mapping_kit.operators.snowflake.copying import Copying
    from airflow_mapping_kit.operators.snowflake.names import ObjectName
    from airflow_mapping_kit.operators.snowflake.session import Session

_MAX_NAMED = 20


def copy_files(
    session: Session,
    table: ObjectName,
    stage: ObjectName,
    file_format: str,
    how: Copying,
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Load files of a stage with one statement and return Snowflake's answer, a row a file.

    :param how: which columns get what, and the statement's options.
    :param names: what the statement calls each key: what follows the stage's URL.
    :raises TargetError: if Snowflake refuses for good
    """
    with refusals(f"No file was loaded into {table}. Snowflake refused {listed(', ', map(repr, names))}"):
        return session.run(
            f"COPY INTO {table}{how.columns} FROM {how.source(str(stage))} "
            f"FILES = ({', '.join(map(literal, names.values()))}) FILE_FORMAT = {file_format} {how.options}"
        )


def earlier_loads(session: Session, table: ObjectName, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the table's loads of files that are called so in any folder, oldest first, as `(file, status)`."""
    ends = sorted({name.rsplit("/", 1)[-1] for name in names})
    places = ", ".join(["%s"] * len(ends))
    with refusals(f"The load history of {table}"):
        rows = session.run(
            "SELECT FILE_NAME, STATUS "  # noqa: S608  values are bound, the identifier is quoted
            f"FROM {quoted(table.database)}.INFORMATION_SCHEMA.LOAD_HISTORY "
            "WHERE SCHEMA_NAME = %s AND TABLE_NAME = %s "
            f"AND SPLIT_PART(FILE_NAME, '/', -1) IN ({places}) "
            "ORDER BY LAST_LOAD_TIME",
            (table.schema, table.name, *ends),
        )
        return [(str(row["file_name"]), str(row["status"])) for row in rows]


def slices(names: Mapping[str, str], size: int) -> Iterator[dict[str, str]]:
    """Give as many of the names at a time as a statement takes."""
    every = list(names.items())
    for start in range(0, len(every), size):
        yield dict(every[start : start + size])


def listed(between: str, items: Iterable[str]) -> str:
    """Return the first twenty items and how many more there are, for an error."""
    every = list(items)
    more = [f"and {len(every) - _MAX_NAMED} more"] if len(every) > _MAX_NAMED else []
    return between.join(every[:_MAX_NAMED] + more)
