"""One partition of a table replaced in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.sql.rows import incoming, strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.query import Query
    from airflow_mapping_kit.tables.sql.rows import Slot
    from airflow_mapping_kit.tables.sql.session import Session

# Two writers of one partition come one after the other, where it has no rows that could tell them, too. By the table
# itself, which has more than one name.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended({}, CAST(CAST({} AS regclass) AS oid)::bigint))"


class Replaced(NamedTuple):
    """How many rows a partition has now, and had before."""

    rows: int
    before: int


def replace_partition(
    session: Session,
    table: TableName,
    actual: Mapping[str, Any],
    query: Query,
    where: Slot,
    lock: str,
    keep_empty: Callable[[], Any] = lambda: None,
    check: Callable[[], None] = lambda: None,
) -> Replaced:
    """Replace a partition by the rows of a query.

    :param table: its name
    :param actual: its columns, and their types
    :param lock: what tells the partition from the table's others
    :param keep_empty: is called where the query has no rows; what it raises leaves the partition as it is
    :param check: is called before the rows are committed; what it raises leaves the partition as it is
    :raises QueryError: if the query doesn't fit, or returns a row of another partition
    :raises TargetError: if somebody else wrote into it at the same time
    """
    what = f"partition {where.key}"

    def work() -> Replaced:
        if session.dialect.is_postgres:
            by = _LOCK.format(session.value("mapping_kit_key"), session.value("mapping_kit_table"))
            session.rows(
                what,
                by,
                {"mapping_kit_key": lock, "mapping_kit_table": str(table).replace("%%", "%")},
                TargetError,
            )
        rows = incoming(session, query, where, actual, str(table))
        before = session.run(
            what, f"DELETE FROM {table} WHERE {where.condition(session)}", where.values, TargetError
        )
        number = session.run(what, rows.insertion(session, table), rows.values)
        if not number:
            keep_empty()
        count = f"SELECT COUNT(*) FROM {table} WHERE {where.condition(session)}"
        ((held,),) = session.rows(what, count, where.values)
        if held < number:
            raise strangers(session, where, rows, number - held, number)
        if held > number:
            raise TargetError(
                f"{what}: somebody else wrote {held - number:,} rows into it at the same time, so it is left as it "
                f"was. Make sure that only this task writes into it, and clear the task: it replaces their rows too"
            )
        check()
        return Replaced(number, before)

    return session.in_transaction(work)
