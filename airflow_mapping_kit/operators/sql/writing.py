"""What the operator does with each partition: replace it in the table, or stage it for one transaction later."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.owners import still_own
from airflow_mapping_kit.exceptions import QueryError, TargetError
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.sql.own_tables import columns_there, make_staging, staging_table
from airflow_mapping_kit.tables.sql.query import Query
from airflow_mapping_kit.tables.sql.replaced import replace_partition
from airflow_mapping_kit.tables.sql.rows import columns_of, slot
from airflow_mapping_kit.tables.sql.session import connected, existing
from airflow_mapping_kit.tables.sql.staging import stage_partition
from airflow_mapping_kit.tables.staged import run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.utils.context import Context

    from airflow_mapping_kit.operators.partition.addresses import Address
    from airflow_mapping_kit.partitions.parameters import PeriodOf
    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.session import Session


class _LeftAloneError(Exception):
    """A partition without rows is to be left as it is."""


class Writer:
    """Writes partitions of one table.

    :param operator: the `SQLPartitionOperator` whose arguments say how
    :param session: with the database
    :param run: what the instances stage for; `None` where they replace their partitions themselves
    :param period: which dimension the period is that the query may ask for the bounds of
    :param look: raises if another process has been given the try, whose rows this one must not replace
    """

    def __init__(
        self,
        operator: Any,
        session: Session,
        run: str | None,
        period: PeriodOf,
        look: Callable[[], None],
    ) -> None:
        self._operator = operator
        self._session = session
        described = table_of(operator.table)
        self._name = str(operator.table if described is None else described["name"])
        homes = {} if described is None else described["dimensions"]
        self._homes = {dimension: str(home["column"]) for dimension, home in homes.items()}
        self._query = Query(operator.sql, session.dialect, operator.parameters, operator.unused, period)
        self._table, self._columns = existing(session, self._name)
        self._look = look
        self._staging: TableName | None = None
        if run is not None:
            self._staging = staging_table(self._table, run)
            staged = columns_there(session, self._staging)
            if staged is None:
                make_staging(session, self._table, self._staging)
            self._staged = set(self._columns) if staged is None else staged

    def partition(self, place: Address) -> dict[str, Any] | None:
        """Write one partition and return what became of it; `None` if it has no rows and is left alone."""
        columns = columns_of(place.partition, self._columns, self._name, self._homes)
        where = slot(self._session, place.key, place.partition, columns, self._operator.types)

        def keep_empty() -> None:
            if self._operator.on_empty == "skip":
                raise _LeftAloneError
            if self._operator.on_empty == "fail":
                raise QueryError(
                    f"partition {place.key}: the query found no rows, so it is left as it is (on_empty='fail'): check "
                    f"the source, or use on_empty='replace' where an empty partition is right, or 'skip'"
                )

        try:
            if self._staging is None:
                done = replace_partition(
                    self._session,
                    self._table,
                    self._columns,
                    self._query,
                    where,
                    place.directory,
                    keep_empty,
                    self._look,
                )
                return {
                    "key": place.key,
                    "table": self._name,
                    "rows": done.rows,
                    "replaced_rows": done.before,
                }
            piece, rows, into = stage_partition(
                self._session,
                self._table,
                self._columns,
                self._staging,
                self._staged,
                self._query,
                where,
                keep_empty,
            )
        except _LeftAloneError:
            return None
        staged = {"key": place.key, "partition": place.partition, "path": piece, "rows": rows}
        return {**staged, "bytes": 0, "columns": into}


@contextmanager
def writer(operator: Any, context: Context, ended: Callable[[], bool]) -> Iterator[Writer]:
    """Give what writes the partitions of an operator, over one connection.

    :param ended: whether the task is to end
    :raises TargetError: if the connection isn't that of the table
    """
    table = table_of(operator.table)
    conn_id = operator.conn_id if table is None else operator.conn_id or table["conn_id"]
    if not conn_id:
        raise TargetError("conn_id is empty: write the Airflow connection of the table's database")
    if table is not None and conn_id != table["conn_id"]:
        raise TargetError(
            f"conn_id={conn_id!r}, and the table {table['name']} was looked up by {table['conn_id']!r}: write the same "
            f"one, or leave conn_id out"
        )
    instance: Any = context["ti"]
    run = None if table is None else run_of(instance.dag_id, instance.run_id, operator.task_id)
    with connected(conn_id, ended) as session:
        yield Writer(operator, session, run, operator.period_of(context), still_own(context))
