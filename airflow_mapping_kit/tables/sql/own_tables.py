"""The tables that the kit makes beside a table: one of each run, and one that says what is published."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import QueryError, TargetError

if TYPE_CHECKING:
    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.session import Session

# The column that tells the rows of one try of one partition from all others.
PIECE = "mapping_kit_piece"
PIECE_TYPE = "VARCHAR"


def staging_table(table: TableName, run: str, of: str = "") -> TableName:
    """Return the table in which a run stages for a table: beside it, with a name that no other run has.

    :param of: what ends the name
    """
    return table.beside(f"mapping_kit_{hashlib.sha256(f'{run} {table}'.encode()).hexdigest()[:16]}{of}")


def published_table(table: TableName) -> TableName:
    """Return the table that says which pieces are published in a schema."""
    return table.beside("mapping_kit_published")


def make(session: Session, name: TableName, *statements: str) -> None:
    """Make a table, where nobody else has.

    :param statements: that do so, and nothing where it is there
    :raises TargetError: if the user may not
    """

    def work() -> None:
        if session.dialect.is_postgres:
            # Two at once would be told that the name is taken.
            by = f"SELECT pg_advisory_xact_lock(hashtextextended({session.value('mapping_kit_name')}, 0))"
            session.rows(f"the table {name}", by, {"mapping_kit_name": str(name)})
        for statement in statements:
            session.run(f"the table {name}", statement, kind=TargetError)

    session.in_transaction(work, is_ddl=True)


def make_staging(session: Session, table: TableName, staging: TableName) -> None:
    """Make a run's staging table: with the table's columns, and nothing of what it demands of them."""
    piece = session.quoted(PIECE)
    statements = [
        f"CREATE {session.dialect.staging} IF NOT EXISTS {staging} AS "
        f"SELECT t.*, CAST('' AS {PIECE_TYPE}) AS {piece} FROM {table} t WHERE 1 = 0"
    ]
    if session.dialect.indexes:
        statements.append(
            f"CREATE INDEX IF NOT EXISTS {session.quoted(staging.parts[-1] + '_piece')} ON {staging} ({piece})"
        )
    make(session, staging, *statements)


def make_published(session: Session, published: TableName) -> None:
    """Make the table of what is published."""
    make(
        session,
        published,
        f"CREATE TABLE IF NOT EXISTS {published} ({session.quoted(PIECE)} {PIECE_TYPE} PRIMARY KEY, "
        f'"published_at" VARCHAR)',
    )


def columns_there(session: Session, name: TableName) -> set[str] | None:
    """Return the columns of a table, `None` if it isn't there."""
    try:
        found = session.in_transaction(lambda: session.columns(f"the table {name}", str(name)))
    except (QueryError, TargetError):
        return None
    return {column for column, _ in found}
