"""Run one query over a partition and publish its rows to a lake."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.owners import still_own
from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowException,
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import PartitionError, QueryError
from airflow_mapping_kit.lineage import console
from airflow_mapping_kit.operators.duckdb.agreement import Agreement
from airflow_mapping_kit.operators.duckdb.copying import Copying
from airflow_mapping_kit.operators.duckdb.local import LocalTarget
from airflow_mapping_kit.operators.duckdb.objects import ObjectTarget
from airflow_mapping_kit.operators.duckdb.opened import opened
from airflow_mapping_kit.operators.duckdb.options import (
    check_extensions,
    check_memory_limit,
    check_settings,
    is_template,
    thread_count,
)
from airflow_mapping_kit.operators.duckdb.query import PartitionQuery
from airflow_mapping_kit.operators.duckdb.s3 import S3Target
from airflow_mapping_kit.operators.duckdb.schema import check_schema
from airflow_mapping_kit.operators.duckdb.scratch import scratch_directory
from airflow_mapping_kit.operators.duckdb.staging import TableTarget
from airflow_mapping_kit.operators.duckdb.swapped import SwappedTarget
from airflow_mapping_kit.operators.partition.addresses import Address, addresses
from airflow_mapping_kit.operators.partition.operator import PartitionOperator, check_names
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.storage.buckets import s3_hook
from airflow_mapping_kit.storage.uris import target_of
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.reading_s3 import let_duckdb_read_s3
from airflow_mapping_kit.tables.staged import run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from airflow.utils.context import Context

    from airflow_mapping_kit.lineage.datasets import Lineage
    from airflow_mapping_kit.operators.duckdb.written import Written
    from airflow_mapping_kit.tables.described import Table

    Target = LocalTarget | S3Target | ObjectTarget | TableTarget


class _ToldToEnd(BaseException):
    """The instance is ending: raised wherever its code is, past `except Exception`."""


class DuckDBPartitionOperator(PartitionOperator):
    """Run one DuckDB query over a partition and publish its rows as Parquet to a directory or to object storage.

    The partition's values are bound to the query's parameters, never pasted into the query: `$date` is the value of
    dimension `date`. Text is bound as VARCHAR, so write `$date::DATE` if the query needs a date. If a value can be
    `None`, write `IS NOT DISTINCT FROM $country`, which works for any type. If a dimension is part of a path in the
    query, its value can't have a `*`, `?`, `[` or `..`.

    A partition is one file, `target/<partition key>/data_0.parquet`, without the dimensions: readers take them from
    the path. Integers of 128 bits, such as a `sum()` of integers, become `DECIMAL(38,0)`. Values that Parquet can't
    keep are an error. The file is replaced in one step: the task is idempotent, a killed task leaves the old data, no
    reader sees half of a partition, and other partitions never change. Parquet files that other tools wrote directly
    into the partition's directory are removed right after that step. In between, this one time, a reader can see both.
    A killed upload may leave parts that S3 doesn't show; a lifecycle rule `AbortIncompleteMultipartUpload` removes
    them. On S3 a reader that reads an object in several requests must use its ETag, as DuckDB 1.4 does (it then fails
    and can be run again). DuckDB 1.2 doesn't, and may mix the old object with the new one.

    ```python
    DuckDBPartitionOperator.partial(
        task_id="load",
        sql="SELECT carrier, delay FROM 'flights.parquet' WHERE origin = $origin AND day = $date::DATE",
        target="s3://lake/flights",
    ).expand(partition=[{"origin": "EWR", "date": "2013-01-01"}])
    ```

    returns `{"key": "date=2013-01-01/origin=EWR", "path":
    "s3://lake/flights/date=2013-01-01/origin=EWR/data_0.parquet", "rows": 305, "bytes": 7811}`. For a batch it returns
    a list of these in the same order, without the partitions that `on_empty="skip"` skipped.

    :param sql: exactly one `SELECT`, or the path of a `.sql` file with it (templated)
    :param partition: the partition, a dict of dimension to text, number, boolean or `None`. Or a batch, a list of
        partitions: each is published on its own. If some fail, the others are published, the error names both, and a
        retry publishes only the rest. An empty list skips the task (templated; values of an XCom are not rendered)
    :param target: a directory, `s3://bucket/prefix`, `gs://connection@bucket/prefix` or
        `az://connection@container/prefix` (also `abfs://`), with the Airflow connection that has the credentials. Or a
        table, `iceberg_table(...)`, `delta_table(...)` or `ducklake_table(...)`: then the rows are only staged, and
        `publish` commits those of all instances at once (templated)
    :param schema: the columns of each partition of the lake, in order, and their DuckDB types: `{"carrier":
        "VARCHAR", "delay": "BIGINT"}`. Other types are converted if no value changes. The query must select all of
        these columns, and no others except dimensions. Without it, a partition must have the columns of the lake's
        other partitions
    :param partition_by: the order of the directories, with the names of all dimensions. By default sorted by name
    :param parameters: values for parameters of the query that are not dimensions, such as `$source` (templated)
    :param on_empty: if the query has no rows: `"fail"` fails and leaves the partition as it is, `"skip"` skips and
        leaves it, `"replace"` publishes a file without rows
    :param unused: dimensions that the query doesn't have to use
    :param aws_conn_id: the Airflow connection for an `s3://` target that doesn't name one, and for `s3://` in the
        query or its values. With `None` boto3 finds the credentials for the target, and DuckDB those for the query
        (templated)
    :param duckdb_conn_id: the Airflow connection of a DuckDB database whose tables the query may read. It is opened
        read-only, and needs `apache-airflow-providers-duckdb`. Without it DuckDB works in memory (templated)
    :param compression: the codec of the Parquet file: `"uncompressed"`, `"snappy"`, `"gzip"`, `"zstd"`, `"brotli"`,
        `"lz4"` or `"lz4_raw"`. By default `snappy`, and `zstd` for a table
    :param row_group_size: the rows of a row group, in steps of 2,048. By default 122,880
    :param file_size_bytes: the size at which another file is begun, in bytes or such as `"256MB"`. Then a partition is
        a directory of files, which `path` names, and is replaced as a whole: for a table anywhere, for a lake only in
        directories on Linux. By default a partition is one file
    :param memory_limit: the memory that DuckDB uses before it uses the disk, in its units. By default that of
        `duckdb_conn_id`, else `"1GiB"` (templated)
    :param threads: DuckDB's threads. By default those of `duckdb_conn_id`, else 1 (templated)
    :param extensions: DuckDB extensions to load, by name. An extension that isn't installed is downloaded
    :param settings: DuckDB settings by name, such as `{"http_retries": 5}`, with text, numbers or booleans as values
        (templated)
    :param every: the length of the period of `$start` and `$end`, if its value has minutes and so doesn't say it:
        `15min`, or the cron expression. As for `reload_partitions`
    :param timezone: the time zone in which the query reads a TIMESTAMPTZ, and of the period: a name of the tz
        database. Default: that of the DAG, as for `reload_partitions`
    :param date_dimension: the dimension that is the period. Default: `date`
    :raises PartitionError: if a partition, `partition_by` or `timezone` is not valid
    :raises QueryError: if the query doesn't fit the partition or the data, or an argument is not valid
    :raises TargetError: if the target can't hold the partition or can't be written to
    :raises StorageError: if the bucket doesn't exist or the credentials are refused
    """

    template_fields = (
        "sql",
        "partition",
        "target",
        "parameters",
        "aws_conn_id",
        "duckdb_conn_id",
        "memory_limit",
        "threads",
        "settings",
    )
    template_fields_renderers = {  # noqa: RUF012  as Airflow has it
        "sql": "sql",
        "partition": "json",
        "parameters": "json",
        "settings": "json",
    }
    operator_extra_links = (console.StoreLink(),)
    ui_color = "#fff6cc"
    store: str | None = None

    def __init__(
        self,
        *,
        sql: str,
        partition: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        target: str | Table,
        schema: Mapping[str, str] | None = None,
        partition_by: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        on_empty: str = "fail",
        unused: Collection[str] = (),
        every: str | None = None,
        timezone: str | None = None,
        date_dimension: str = "date",
        aws_conn_id: str | None = "aws_default",
        duckdb_conn_id: str | None = None,
        compression: str | None = None,
        row_group_size: int | None = None,
        file_size_bytes: int | str | None = None,
        memory_limit: str | None = None,
        threads: int | str | None = None,
        extensions: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
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
        DuckDBPartitionOperator.check_fixed(
            schema=schema,
            partition_by=partition_by,
            compression=compression,
            row_group_size=row_group_size,
            file_size_bytes=file_size_bytes,
            memory_limit=memory_limit,
            threads=threads,
            extensions=extensions,
            settings=settings,
        )
        self.target = target
        self.schema = schema
        self.partition_by = partition_by
        self.aws_conn_id = aws_conn_id
        self.duckdb_conn_id = duckdb_conn_id
        self.compression = compression
        self.row_group_size = row_group_size
        self.file_size_bytes = file_size_bytes
        self.memory_limit = memory_limit
        self.threads = threads
        self.extensions = extensions
        self.settings = settings
        self._stoppable = False
        self._killed = False

    @classmethod
    def check_fixed(
        cls,
        *,
        schema: Mapping[str, str] | None = None,
        partition_by: Sequence[str] | None = None,
        compression: str | None = None,
        row_group_size: int | None = None,
        file_size_bytes: int | str | None = None,
        memory_limit: str | None = None,
        threads: int | str | None = None,
        extensions: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Check the arguments that are DuckDB's, and those of each query."""
        super().check_fixed(**others)
        if threads is not None and not is_template(threads):
            thread_count(threads)
        if memory_limit is not None and not is_template(memory_limit):
            check_memory_limit(memory_limit)
        if schema is not None:
            check_schema(schema)
        if not is_template(settings):
            check_settings(settings)
        check_extensions(extensions)
        Copying(compression, row_group_size, file_size_bytes)
        if partition_by is not None:
            check_names("partition_by", partition_by, PartitionError)

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Publish the partition, or each of a batch, and return where it is and how large."""
        try:
            with bad_input_fails_at_once():
                return self._published(context)
        except _ToldToEnd:
            raise AirflowException(
                f"{self.task_id} was told to end: it has stopped its query and publishes nothing more."
            ) from None

    def on_kill(self) -> None:
        """Stop the query and publish nothing more: Airflow 3 calls this, and would go on with the task."""
        self._killed = True
        # DuckDB looks for signals while it runs, and stops when their handler raises. That of Airflow 2 does.
        if AIRFLOW_3 and self._stoppable:
            raise _ToldToEnd

    @contextmanager
    def _stopped_by_on_kill(self) -> Iterator[None]:
        """Let `on_kill` raise meanwhile. Elsewhere it might leave half a call of Airflow's behind."""
        self._stoppable = True
        try:
            if self._killed:
                raise _ToldToEnd
            yield
        finally:
            self._stoppable = False

    def _published(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        with ExitStack() as stack:
            table = table_of(self.target)
            if table is not None and self.partition_by is not None:
                raise PartitionError(
                    f"partition_by={self.partition_by!r} is the order of directories, and the target is the table "
                    f"{table['name']}, which has none: leave it out"
                )
            if table is not None and self.schema is not None:
                raise QueryError(
                    f"schema= is for a lake of files, and the target is the table {table['name']}, which has its own "
                    f"columns: leave it out"
                )
            places = addresses(self.partitions(context), self.partition_by, table)
            scratch = stack.enter_context(scratch_directory())
            target = self._target(scratch, table, context)
            period = self.period_of(context)
            connection = stack.enter_context(
                opened(
                    self.duckdb_conn_id,
                    self.memory_limit,
                    self.threads,
                    scratch,
                    period.zone,
                    self.settings,
                    self.extensions,
                )
            )
            copying = Copying(self.compression, self.row_group_size, self.file_size_bytes)
            query = PartitionQuery(
                connection, self.sql, self.parameters, self.unused, table, copying, self.schema, period
            )
            where: Any = self.target
            has_columns = table is not None or self.schema is not None
            agreement = (
                None if has_columns else Agreement(connection, where, self.aws_conn_id or None, scratch)
            )
            values: list[Any] = [self.sql]
            for place in places:
                target.check(place.key, place.directory)
                values += query.bind(place.key, place.partition).values()
            renew: Callable[[], None] | None = None
            # A template gives text, so no connection may come as "".
            if self.aws_conn_id and any("s3://" in str(value).lower() for value in values):
                renew = let_duckdb_read_s3(connection, s3_hook(self.aws_conn_id))
            done = self.put_each(
                partial(self._publish, query, target, renew, agreement, still_own(context)),
                places,
                context,
                staged=table is not None,
            )
            where = f"{places[0].directory}/" if isinstance(self.partition, Mapping) else ""
            console.show(self, target.console(where), context)
            return done

    def lineage(self) -> Lineage:
        """Return the files that the query reads, and the lake or the table that it writes into."""
        from airflow_mapping_kit.lineage.datasets import Lineage, dataset_of, dataset_of_table, sources_of
        from airflow_mapping_kit.operators.duckdb.sources import files_read

        table, where = table_of(self.target), str(self.target)
        target = dataset_of(where) if table is None else dataset_of_table(table)
        return Lineage(sources_of(files_read(self.sql, self.parameters or {})), [target])

    def _target(self, scratch: Path, table: Table | None, context: Context) -> Target:
        several = self.file_size_bytes is not None
        if table is not None:
            instance: Any = context["ti"]
            run = run_of(instance.dag_id, instance.run_id, self.task_id)
            # A table that was opened by a connection is written to by it: the query may read elsewhere.
            conn_id = table.get("aws_conn_id") or self.aws_conn_id or None
            return TableTarget(table, run, scratch, conn_id, several=several)
        where: Any = self.target
        place = target_of(where)
        if place is None:
            return SwappedTarget(where) if several else LocalTarget(where)
        if several:
            raise QueryError(
                f"file_size_bytes={self.file_size_bytes!r}: several files of a partition can be replaced in one step "
                f"in a directory or a table only, and the target is {where!r}: leave it out, or make partitions smaller"
            )
        if place.scheme != "s3":
            return ObjectTarget(place, scratch)
        return S3Target(
            place.bucket, place.key, s3_hook(place.connection or self.aws_conn_id or None), scratch
        )

    def _publish(
        self,
        query: PartitionQuery,
        target: Target,
        renew: Callable[[], None] | None,
        agreement: Agreement | None,
        look: Callable[[], None],
        place: Address,
    ) -> dict[str, Any] | None:
        """Publish one partition; `None` if it has no rows and is to be left alone."""
        started = time.monotonic()
        if renew is not None:
            renew()
        try:
            with self._stopped_by_on_kill():
                selection = query.select(place.key, place.partition)
            with target.staged(place.key, place.directory) as staged:
                with self._stopped_by_on_kill():
                    files = query.write(selection, staged.path)
                rows = sum(one.rows for one in files)
                if rows == 0 and self.on_empty == "skip":
                    self.log.info("Left %s as it is: the query found no rows", one_line(place.key))
                    return None
                if rows == 0 and self.on_empty == "fail":
                    raise QueryError(
                        f"partition {place.key}: the query found no rows, so it is left as it is "
                        f"(on_empty='fail'): check the source, or use on_empty='replace' where an empty "
                        f"partition is right, or 'skip'"
                    )
                if rows == 0 and table_of(self.target) is not None:
                    self.log.info("Staged %s: no rows, so it will be emptied", one_line(place.key))
                    return self._result(place, None, [])
                published = agreement.check(place, staged.path) if agreement is not None else None
                # A try that froze since its query would replace what the next one has published by older rows.
                look()
                with self._stopped_by_on_kill():
                    path = staged.publish()
                if published is not None:
                    published()
        except OSError as error:
            raise AirflowException(f"partition {place.key}: can't be written: {error}") from error
        seconds = time.monotonic() - started
        result = self._result(place, path, files)
        self.log.info(
            "%s %s: %d rows, %d bytes in %.2f s to %s",
            "Published" if table_of(self.target) is None else "Staged",
            one_line(place.key),
            result["rows"],
            result["bytes"],
            seconds,
            one_line(path),
        )
        return result

    def _result(self, place: Address, path: str | None, files: list[Written]) -> dict[str, Any]:
        rows, size = sum(one.rows for one in files), sum(one.size for one in files)
        result: dict[str, Any] = {"key": place.key, "path": path, "rows": rows, "bytes": size}
        if table_of(self.target) is not None:
            result["partition"] = place.partition
            if path is not None and self.file_size_bytes is not None:
                # What each has, the commit tells.
                result["files"] = [
                    {"path": f"{path}/{one.name}", "rows": one.rows, "bytes": one.size} for one in files
                ]
            if path is None:
                # What has no file has this in its place: a later try that finds no rows either is another one.
                result["emptied"] = uuid.uuid4().hex
        return result
