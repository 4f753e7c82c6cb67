"""How the databases differ: in what stands for a value, in names, and in how a transaction begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

PYFORMAT, NAMED = "%({})s", ":{}"


@dataclass(frozen=True)
class Dialect:
    """One database.

    :param parameter: what stands for the value of a name in SQL
    :param fold: what the database makes of a name without quotes
    :param begin: what begins a transaction; `None` where the driver does so by itself
    :param keeps_ddl: whether what makes and drops tables can be a part of one
    :param staging: the words that make a table which is gone soon
    :param indexes: whether it has indexes
    :param is_postgres: whether it has PostgreSQL's locks and settings
    :param tables: a query for the names of tables in the schema `schema`
    """

    parameter: str
    fold: Callable[[str], str]
    begin: str | None = None
    keeps_ddl: bool = True
    staging: str = "TABLE"
    indexes: bool = True
    is_postgres: bool = False
    tables: str = "SELECT table_name FROM information_schema.tables"

    def quoted(self, identifier: str) -> str:
        """Return a name for SQL: `My flights` is `"My flights"`, and a quote in it is doubled."""
        name = '"' + identifier.replace('"', '""') + '"'
        # These drivers read it in names, too.
        return name.replace("%", "%%") if self.parameter == PYFORMAT else name


# By the type of an Airflow connection. Only those whose driver keeps DELETE and INSERT in one transaction: where each
# statement is one of its own, a reader would see the partition without rows, and a kill would leave it so.
DIALECTS = {
    "postgres": Dialect(PYFORMAT, str.lower, staging="UNLOGGED TABLE", is_postgres=True),
    "snowflake": Dialect(PYFORMAT, str.upper, begin="BEGIN", keeps_ddl=False, indexes=False),
    # The only writer from the start: one that becomes it later may be too late, and has to begin again.
    "sqlite": Dialect(NAMED, str, begin="BEGIN IMMEDIATE", tables="SELECT name FROM sqlite_master"),
}


def dialect_of(conn_id: str, conn_type: str) -> Dialect:
    """Return what is known of a connection's database.

    :raises QueryError: if that isn't known to keep its promise
    """
    if conn_type not in DIALECTS:
        raise QueryError(
            f"the connection {conn_id!r} is of type {conn_type!r}. The kit doesn't know whether its driver runs DELETE "
            f"and INSERT in one transaction: use a connection of type {', '.join(sorted(DIALECTS))}"
        )
    return DIALECTS[conn_type]
