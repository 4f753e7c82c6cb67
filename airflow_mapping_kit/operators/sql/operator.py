"""Run one query in a database and replace one partition of a table by its rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import mark_changed
from airflow_mapping_kit.checkpoints.parts import rows_of
from airflow_mapping_kit.compat import (
    AirflowSkipException,
    BaseOperator,
    bad_input_fails_at_once,
    sql_of,
)
from airflow_mapping_kit.exceptions import PartitionError, QueryError, TargetError
from airflow_mapping_kit.operators.duckdb.addresses import Address, addresses
from airflow_mapping_kit.operators.duckdb.batch import published_each
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.held import batch_of
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading import of_task
from airflow_mapping_kit.reading.records import ITEMS_KEY
from airflow_mapping_kit.results import PART, SUCCESS
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.sql.rows import check_types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.utils.context import Context
    from jinja2 import Environment

    from airflow_mapping_kit.operators.duckdb.batch import Publish
    from airflow_mapping_kit.operators.sql.writing import Writer
    from airflow_mapping_kit.results import ItemRow, PartSummary
    from airflow_mapping_kit.tables.described import Table

_ON_EMPTY = ("fail", "skip", "replace")


class SQLPartitionOperator(BaseOperator):
    """Run one query in a database and replace one partition of a table there by its rows, in one transaction.

    The transaction deletes exactly the rows that have the partition's values in the columns of its dimensions,
    inserts what the query returns, by the columns' names, and counts: a row of another partition, or of somebody
    else who wrote into it at the same time, takes all of it back. So readers see the old rows or the new ones, a
    task that is killed at any moment leaves the old ones, and a re-run replaces. A dimension that the query doesn't
    return is filled in; where its value is `None` the rows have `NULL` there.

    The partition's values are bound by the driver: `%(date)s` is the value of dimension `date`, in SQLite `:date`.
    In PostgreSQL two tasks that write the same partition come one after the other, by an advisory lock; a transaction
    that another one made fail (a deadlock, a serialization failure) is begun again.

    With `table=sql_table(...)` the rows are only left in a staging table, and `publish` replaces the partitions of
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

    returns `{"key": "date=2013-01-01/origin=EWR", "table": "reports.daily", "rows": 1, "replaced_rows": 1}`; for a
    list of partitions a list of such in their order, without those that `on_empty="skip"` left alone.

    :param sql: exactly one `SELECT`, or the path of a `.sql` file that holds it (templated)
    :param partition: the partition, a dict of dimension to text, number, boolean or `None`; or a batch, a list of
        them, each replaced in a transaction of its own: if some fail the others are done all the same (templated;
        what comes from an XCom is taken as it is)
    :param table: the table as SQL has it, `reports.daily`; or `sql_table(...)` (templated)
    :param conn_id: the Airflow connection, of type `postgres`, `snowflake` or `sqlite`; by default that of
        `sql_table` (templated)
    :param types: what dimensions are cast to where the database compares their value with no column of it:
        `{"id": "TEXT"}`
    :param parameters: values for parameters of the query that are no dimensions (templated)
    :param on_empty: what zero rows do: `"fail"` leaves the partition as it is and fails, `"skip"` leaves it and
        skips, `"replace"` empties it
    :param unused: dimensions that the query need not use
    :raises PartitionError: if a partition is none
    :raises QueryError: if the query doesn't fit the partition or the table, or an argument can't be
    :raises TargetError: if there is no such table, the login is refused, or somebody else wrote into the partition
    """

    template_fields = ("sql", "partition", "table", "conn_id", "parameters")
    template_fields_renderers = {"sql": "sql", "partition": "json", "parameters": "json"}  # noqa: RUF012  as Airflow has it
    ui_color = "#e3ecf7"
    items_key = ITEMS_KEY
    keeps_what_is_done = takes_slices = True

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_empty not in _ON_EMPTY:
            raise QueryError(
                f"on_empty={on_empty!r} is none of {', '.join(map(repr, _ON_EMPTY))}: write one of them"
            )
        if isinstance(unused, str):
            raise QueryError(f"unused={unused!r} is text: write the list [{unused!r}]")
        if isinstance(table, str) and conn_id is None:
            raise TargetError(f"table={table!r} is in a database that isn't named: write conn_id='...'")
        check_types(types)
        self.sql = sql
        self.partition = partition
        self.table = table
        self.conn_id = conn_id
        self.types = types
        self.parameters = parameters
        self.on_empty = on_empty
        self.unused = unused
        self._killed = False

    @staticmethod
    def batch_parameter(_: Any) -> str:
        """Return which argument may be a batch, whose partitions then count as pieces of their own."""
        return "partition"

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, and `sql` from its file: its `template_ext` would take values for files, too."""
        # The first field: when a value comes that is the very same text, it is rendered already.
        if content is self.sql:
            content = sql_of(content, jinja_env or self.get_template_env(), seen_oids)
        return super().render_template(content, context, jinja_env, seen_oids)

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Replace the partition, or each of a batch, and return how many rows it has."""
        # An instance of the DAG pays for what its file imports: what only this takes waits for it.
        from airflow_mapping_kit.operators.sql.writing import writer

        with bad_input_fails_at_once():
            one = Slice.of(self.partition)
            places = addresses(self._partitions(context), None)
            if not places:
                raise AirflowSkipException("the list of partitions is empty: nothing to write")
            with writer(self, context, lambda: self._killed) as write:
                put = partial(self._put, write)
                if one is not None or not isinstance(self.partition, Mapping):
                    return self._batch_written(put, places, one, context)
                result = put(places[0])
            if result is None:
                raise AirflowSkipException(
                    f"partition {places[0].key} has no rows: left as it is (on_empty='skip')"
                )
            if table_of(self.table) is None:
                mark_changed([result["key"]], context=context)
            return result

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

    def _batch_written(
        self, put: Publish, places: Sequence[Address], one: Slice | None, context: Context
    ) -> list[dict[str, Any]] | dict[str, Any]:
        done = published_each(put, places, one, context)
        rows = done if isinstance(done, list) else self._rows(done[PART], context)
        states = Counter(row["state"] for row in done) if isinstance(done, list) else done[PART]["states"]
        if table_of(self.table) is None:
            mark_changed((row["value"]["key"] for row in rows if row["state"] == SUCCESS), context=context)
        if not states.get(SUCCESS):
            raise AirflowSkipException(
                "no partition of the batch has rows: all left as they are (on_empty='skip')"
            )
        return [row["value"] for row in done if row["state"] == SUCCESS] if isinstance(done, list) else done

    @staticmethod
    def _rows(part: PartSummary, context: Context) -> Iterable[ItemRow]:
        instance: Any = context["ti"]
        return rows_of(part, of_task(instance), instance.dag_id, instance.run_id)

    def _partitions(self, context: Context) -> Sequence[Mapping[str, Any]]:
        given: Any = self.partition
        if Slice.of(given) is not None:
            instance: Any = context["ti"]
            given = batch_of(given, of_task(instance), instance.dag_id, instance.run_id)
        if isinstance(given, Mapping):
            return [given]
        if isinstance(given, Sequence) and not isinstance(given, str | bytes):
            return given
        raise PartitionError(
            f"partition is {shown(given)}: pass a dict such as {{'date': '2013-01-01'}}, or a list of them"
        )
