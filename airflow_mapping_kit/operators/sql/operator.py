"""Run one query in a database and replace one partition of a table by its rows."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.partition.addresses import Address, addresses
from airflow_mapping_kit.operators.partition.operator import PartitionOperator
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.sql.rows import check_types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.lineage.datasets import Lineage
    from airflow_mapping_kit.operators.sql.writing import Writer
    from airflow_mapping_kit.tables.described import Table


class SQLPartitionOperator(PartitionOperator):
    """Run one query in a database and replace one partition of a table by its rows, in one transaction.

    The transaction deletes exactly the rows that have the partition's values in the columns of its dimensions. Then it
    inserts the rows of the query, matches columns by name, and counts. If there is a row of another partition, or of
    another writer, it undoes everything. So readers see the old rows or the new ones, a killed task leaves the old or
    the new ones, and the task is idempotent. A dimension that the query doesn't return is filled in; `None` is `NULL`.

    The driver binds the partition's values: `%(date)s` is the value of dimension `date`, in SQLite `:date`. In
    PostgreSQL two tasks that write the same partition run one after the other, by an advisory lock. If another
    transaction makes this one fail (a deadlock, a serialization failure), it is repeated.

    With `table=sql_table(...)` the rows are only staged in a staging table. `publish` then replaces the partitions of
    all instances in one transaction.

    ```python
    SQLPartitionOperator.partial(
        task_id="load",
        sql="SELECT origin, date, count(*) AS flights FROM raw.flights "
        "WHERE origin = %(origin)s AND date = %(date)s GROUP BY origin, date",
        table="reports.daily",
        conn_id="warehouse",
    ).expand(partition=[{"origin": "EWR", "date": "2013-01-01"}])
    ```

    returns `{"key": "date=2013-01-01/origin=EWR", "table": "reports.daily", "rows": 1, "replaced_rows": 1}`. For a
    batch it returns a list of these in the same order, without the partitions that `on_empty="skip"` skipped.

    :param sql: exactly one `SELECT`, or the path of a `.sql` file with it (templated)
    :param partition: the partition, a dict of dimension to text, number, boolean or `None`. Or a batch, a list of
        partitions: each is replaced in its own transaction, and if some fail, the others are replaced (templated;
        values of an XCom are not rendered)
    :param table: the name of the table as in SQL, `reports.daily`; or `sql_table(...)` (templated)
    :param conn_id: the Airflow connection, of type `postgres`, `snowflake` or `sqlite`. By default that of
        `sql_table` (templated)
    :param types: the types to which values of dimensions are cast, for values that the database can't compare with
        their column: `{"id": "TEXT"}`
    :param parameters: values for parameters of the query that are not dimensions (templated)
    :param on_empty: if the query has no rows: `"fail"` fails and leaves the partition as it is, `"skip"` skips and
        leaves it, `"replace"` empties it
    :param unused: dimensions that the query doesn't have to use
    :param every: the length of the period of `start` and `end`, if its value has minutes and so doesn't say it:
        `15min`, or the cron expression. As for `reload_partitions`
    :param timezone: the time zone of the period, a name of the tz database. Default: that of the DAG
    :param date_dimension: the dimension that is the period. Default: `date`
    :raises PartitionError: if a partition is not valid
    :raises QueryError: if the query doesn't fit the partition or the table, or an argument is not valid
    :raises TargetError: if the table doesn't exist, the login is refused, or somebody else wrote into the partition
    """

    template_fields = ("sql", "partition", "table", "conn_id", "parameters")
    template_fields_renderers = {"sql": "sql", "partition": "json", "parameters": "json"}  # noqa: RUF012  as Airflow has it
    ui_color = "#e3ecf7"

    def __init__(
        self,
        *,
        sql: str,
        partition: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        table: str | Table,
        conn_id: str | None = None,
        types: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        on_empty: str = "fail",
        unused: Collection[str] = (),
        every: str | None = None,
        timezone: str | None = None,
        date_dimension: str = "date",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sql=sql,
            partition=partition,
            parameters=parameters,
            on_empty=on_empty,
            unused=unused,
            every=every,
            timezone=timezone,
            date_dimension=date_dimension,
            **kwargs,
        )
        if isinstance(table, str) and conn_id is None:
            raise TargetError(f"table={table!r} is in a database that isn't named: write conn_id='...'")
        SQLPartitionOperator.check_fixed(types=types)
        self.table = table
        self.conn_id = conn_id
        self.types = types
        self._killed = False

    @classmethod
    def check_fixed(cls, *, types: Mapping[str, str] | None = None, **others: Any) -> None:
        """Check `types`, and the arguments of each query."""
        super().check_fixed(**others)
        check_types(types)

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Replace the partition, or each of a batch, and return how many rows it has."""
        # An instance of the DAG pays for what its file imports: what only this takes waits for it.
        from airflow_mapping_kit.operators.sql.writing import writer

        with bad_input_fails_at_once():
            places = addresses(self.partitions(context), None)
            with writer(self, context, lambda: self._killed) as write:
                return self.put_each(
                    partial(self._put, write), places, context, staged=table_of(self.table) is not None
                )

    def lineage(self) -> Lineage:
        """Return the tables that the query reads, and the one that it writes into."""
        from airflow_mapping_kit.lineage.databases import Database
        from airflow_mapping_kit.lineage.datasets import Lineage
        from airflow_mapping_kit.lineage.tables import of_database

        table = table_of(self.table)
        conn_id = str(self.conn_id or (table or {}).get("conn_id"))
        name = str(self.table if table is None else table["name"])
        database = Database(conn_id)
        return Lineage(database.tables_read(self.sql), [of_database(conn_id, name, database)])

    def on_kill(self) -> None:
        """Commit nothing more."""
        self._killed = True

    def _put(self, write: Writer, place: Address) -> dict[str, Any] | None:
        started = time.monotonic()
        result = write.partition(place)
        if result is None:
            self.log.info("Left %s as it is: the query found no rows", one_line(place.key))
            return None
        self.log.info(
            "%s %s: %d rows in %.2f s",
            "Wrote" if table_of(self.table) is None else "Staged",
            one_line(place.key),
            result["rows"],
            time.monotonic() - started,
        )
        return result
