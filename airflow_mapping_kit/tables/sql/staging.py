"""The rows of one partition left in the staging table of a run, until those of all are published at once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.sql.own_tables import PIECE, PIECE_TYPE
from airflow_mapping_kit.tables.sql.rows import incoming, strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.query import Query
    from airflow_mapping_kit.tables.sql.rows import Slot
    from airflow_mapping_kit.tables.sql.session import Session


def stage_partition(
    session: Session,
    table: TableName,
    actual: Mapping[str, Any],
    staging: TableName,
    staged: set[str],
    query: Query,
    where: Slot,
    keep_empty: Callable[[], Any] = lambda: None,
) -> tuple[str, int, list[str]]:
    """Leave the rows of a query for a partition in the staging table.

    What an earlier try left there is of no piece that is published.

    :param actual: the table's columns, and their types
    :param staged: the columns of the staging table
    :param keep_empty: is called where the query has no rows
    :return: by what the rows are found there, how many they are, and the columns that they have
    :raises QueryError: if the query doesn't fit, or returns a row of another partition
    :raises TargetError: if the table has changed since the staging table was made
    """
    what = f"partition {where.key}"
    piece = uuid.uuid4().hex
    own = {"mapping_kit_piece": piece}

    def work() -> tuple[str, int, list[str]]:
        rows = incoming(session, query, where, actual, str(table))
        if lost := sorted(set(rows.columns) - staged):
            raise TargetError(
                f"{what}: the table {table} has the column {lost[0]!r} by now, and the run's staging table doesn't: "
                f"DROP TABLE {staging}, and clear all instances of the run"
            )
        by = session.value("mapping_kit_piece")
        insert = rows.insertion(session, staging, **{PIECE: f"CAST({by} AS {PIECE_TYPE})"})
        number = session.run(what, insert, {**rows.values, **own})
        if not number:
            keep_empty()
        count = (
            f"SELECT COUNT(*) FROM {staging} WHERE {session.quoted(PIECE)} = {by} "
            f"AND {where.condition(session)}"
        )
        ((held,),) = session.rows(what, count, {**where.values, **own})
        if held < number:
            raise strangers(session, where, rows, number - held, number)
        return piece, number, rows.columns

    return session.in_transaction(work)
