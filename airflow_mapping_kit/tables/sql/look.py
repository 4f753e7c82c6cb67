"""A table of a database, looked up once for all instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.sql.own_tables import make_published, published_table
from airflow_mapping_kit.tables.sql.session import connected, existing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.tables.described import Home, Table


def look(*, name: str, conn_id: str, homes: Mapping[str, Home]) -> Table:
    """Return a table as plain JSON, if instances will be able to stage for it.

    :raises TargetError: if there is no such table, a dimension isn't a column itself, or no table may be made beside it
    """
    for dimension, home in homes.items():
        if home.transform:
            raise TargetError(
                f"the dimension {dimension!r} lives in {home.transform}({home.column}), and in a database it has to be "
                f"a column itself: add a column for it. The query or the kit fills it, so it can't be a generated one"
            )
    with connected(conn_id) as session:
        table, columns = existing(session, name)
        # Who may not make this one may make none to stage in.
        make_published(session, published_table(table))
    return {
        "mapping_kit_table": "sql",
        "name": name,
        "conn_id": conn_id,
        "columns": [{"name": column} for column in columns],
        "dimensions": {},
    }
