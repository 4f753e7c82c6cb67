"""The names that OpenLineage has for tables of databases, by what the providers' hooks say of a connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import BaseHook
from airflow_mapping_kit.lineage.datasets import Dataset, dataset_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# What stands for a value in a statement: OpenLineage's parser knows neither.
_PARAMETER = re.compile(r"%\(\w+\)s|(?<![:\w]):\w+")


class Database:
    """The database of an Airflow connection.

    :param conn_id: the connection
    :param hook: its hook, if there is one already
    :raises ImportError: where Airflow's provider for OpenLineage isn't installed
    """

    def __init__(self, conn_id: str, hook: Any = None) -> None:
        from airflow.providers.openlineage.sqlparser import SQLParser

        connection: Any = BaseHook.get_connection(conn_id)
        self.type = connection.conn_type
        hook = hook or connection.get_hook()
        info = hook.get_openlineage_database_info(connection)
        self.schema: str | None = None
        self._above: list[str | None] = [None, None]
        if info is None:
            # SQLite: what a file has of tables.
            place = dataset_of(str(connection.host or ""))
            self.namespace = f"{self.type}://{place.name}"
            return
        self.namespace = SQLParser.create_namespace(info)
        self.schema = hook.get_openlineage_default_schema()
        self._above = [info.database, self.schema]

    def table(self, parts: Iterable[str | None]) -> Dataset:
        """Return the dataset of a table: `("flights",)` in PostgreSQL is `warehouse.public.flights`.

        :param parts: of its name; what is left out before it is what the connection says.
        """
        named = list(parts)
        missing = 3 - len(named)
        whole = [*self._above[:missing], *named]
        return Dataset(self.namespace, ".".join(part for part in whole if part))

    def tables_read(self, sql: str) -> list[Dataset]:
        """Return the datasets that a query reads, as far as OpenLineage's parser understands it."""
        from airflow.providers.openlineage.sqlparser import SQLParser

        plain = _PARAMETER.sub("NULL", sql).replace("%%", "%")
        parsed = SQLParser(dialect=self.type, default_schema=self.schema).parse(plain)
        if parsed is None:
            return []
        found = (
            [part for part in (table.database, table.schema, table.name) if part]
            for table in parsed.in_tables
        )
        return list(dict.fromkeys(map(self.table, found)))
