"""Run one query over a partition and publish its rows to a lake."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AirflowException,
    AirflowSkipException,
    BaseOperator,
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import MappingKitError, PartitionError, QueryError, TargetError
from airflow_mapping_kit.operators.lake.local import LocalTarget
from airflow_mapping_kit.operators.lake.query import PartitionQuery, connected
from airflow_mapping_kit.operators.lake.s3 import S3Target, let_duckdb_read_s3, s3_hook
from airflow_mapping_kit.operators.lake.scratch import scratch_directory
from airflow_mapping_kit.partitions.keys import partition_key, unique_partitions
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from airflow.utils.context import Context

_ON_EMPTY = ("replace", "skip", "fail")
_MAX_NAMED = 20


@dataclass(frozen=True)
class _Piece:
    partition: dict[str, Any]
    key: str
    directory: str


class DuckDBPartitionOperator(BaseOperator):
    """Run one DuckDB query over a partition and publish its rows as Parquet to a directory or to S3.

    The partition's values are bound to the query's parameters: `$date` is the value of dimension `date`. They
    are never pasted into the query and never rendered as Jinja. Text is bound as VARCHAR: write `$date::DATE`
    where the query wants a date, and `IS NOT DISTINCT FROM $country` where a value can be `None`.

    A partition is one file, `target/<partition key>/data_0.parquet`, without the dimensions: readers take them
    from the path. Publishing replaces it in one step: a re-run replaces, also with zero rows; a task killed at
    any moment leaves the old data whole; no reader sees half of it; other partitions are never touched. Parquet
    files of other tools in the partition's own directory are removed right after that step: only there, and only
    once, a reader can see both. An upload that is killed may leave parts that S3 never shows: a lifecycle
    rule (`AbortIncompleteMultipartUpload`) removes them.

    .. code-block:: python

        DuckDBPartitionOperator.partial(
            task_id="load",
            sql="SELECT carrier, dep_delay FROM 'flights.csv.gz' WHERE origin = $origin AND date = $date::DATE",
            target="s3://lake/flights",
        ).expand(partition=[{"origin": "EWR", "date": "2013-01-01"}])

    returns `{"key": "date=2013-01-01/origin=EWR", "path":
    "s3://lake/flights/date=2013-01-01/origin=EWR/data_0.parquet", "rows": 305, "bytes": 7811}`; a list of such for
    a list of partitions, in their order, without those that `on_empty="skip"` left alone.

    :param sql: exactly one `SELECT`, or the path of a `.sql` file (templated)
    :param partition: the partition, a dict of dimension to text, number, boolean or `None`; or a batch, a list of
        them, each published on its own: if some fail, the others are still published, and the error names both.
        An empty list skips the task, as mapping over one does (templated, but never the values of an XCom)
    :param target: a directory, or `s3://bucket/prefix` (templated)
    :param partition_by: the order of the directories, all dimensions by name; by default they are sorted
    :param aws_conn_id: the Airflow connection for an `s3://` target and for `s3://` in the query's text or in
        the partition; `None` leaves the first to boto's own credentials and the second to DuckDB's (templated)
    :param memory_limit: what DuckDB may keep in memory before it uses the disk, such as `"1GiB"`
    :param threads: how many threads DuckDB uses
    :param on_empty: what zero rows do: `"replace"` publishes a file without rows, `"skip"` leaves the
        partition as it is and skips, `"fail"` leaves it and fails
    :param unused: dimensions that the query need not use
    :raises PartitionError: if the partition or `partition_by` is none
    :raises QueryError: if the query doesn't fit the partition or the data, or finds no rows with `on_empty="fail"`
    :raises TargetError: if the target can't hold the partition or can't be written to
    """

    template_fields = ("sql", "partition", "target", "aws_conn_id")
    template_ext = (".sql",)
    template_fields_renderers = {"sql": "sql", "partition": "json"}  # noqa: RUF012  Airflow declares it so
    ui_color = "#fff100"

    def __init__(
        self,
        *,
        sql: str,
        partition: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        target: str,
        partition_by: Sequence[str] | None = None,
        aws_conn_id: str | None = None,
        memory_limit: str = "1GiB",
        threads: int = 1,
        on_empty: str = "replace",
        unused: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_empty not in _ON_EMPTY:
            raise QueryError(
                f"on_empty={on_empty!r} is none of {', '.join(map(repr, _ON_EMPTY))}: write one of these"
            )
        if not isinstance(threads, int) or threads < 1:
            raise QueryError(f"threads={threads!r} is no number of threads: write 1 or more")
        if isinstance(partition_by, str):
            raise PartitionError(f"partition_by={partition_by!r} is text: write a list, [{partition_by!r}]")
        if isinstance(unused, str):
            raise QueryError(f"unused={unused!r} is text: write a list, [{unused!r}]")
        self.sql = sql
        self.partition = partition
        self.target = target
        self.partition_by = partition_by
        self.aws_conn_id = aws_conn_id
        self.memory_limit = memory_limit
        self.threads = threads
        self.on_empty = on_empty
        self.unused = unused

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:  # noqa: ARG002  Airflow's signature
        """Publish the partition, or each of a batch, and return where it is and how large."""
        with bad_input_fails_at_once(), ExitStack() as stack:
            is_batch, pieces = self._pieces()
            scratch = stack.enter_context(scratch_directory())
            target = self._target(scratch)
            for piece in pieces:
                target.check(piece.key, piece.directory)
            connection = stack.enter_context(connected(self.memory_limit, self.threads, scratch))
            query = PartitionQuery(connection, self.sql, self.unused)
            for piece in pieces:
                query.bind(piece.key, piece.partition)
            if self.aws_conn_id is not None and self._reads_s3(pieces):
                let_duckdb_read_s3(connection, s3_hook(self.aws_conn_id))
            if is_batch:
                return self._publish_each(query, target, pieces)
            result = self._publish(query, target, pieces[0])
            if result is None:
                raise AirflowSkipException(
                    f"partition {pieces[0].key}: no rows, left as it is (on_empty='skip')"
                )
            return result

    def _pieces(self) -> tuple[bool, list[_Piece]]:
        given: Any = self.partition
        is_batch = isinstance(given, Sequence) and not isinstance(given, (str, bytes))
        if not is_batch and not isinstance(given, Mapping):
            raise PartitionError(
                f"partition is {shown(given)}, not a partition: pass a dict such as "
                f"{{'date': '2013-01-01'}}, or a list of them"
            )
        partitions = unique_partitions(given if is_batch else [given])
        if not partitions:
            raise AirflowSkipException("the list of partitions is empty: nothing to publish")
        pieces = []
        for partition in partitions:
            key = partition_key(partition)
            order = sorted(partition) if self.partition_by is None else list(self.partition_by)
            if sorted(order) != sorted(partition):
                raise PartitionError(
                    f"partition {key}: partition_by={order} has to name each of its dimensions once: {sorted(partition)}"
                )
            directory = "/".join(partition_key({name: partition[name]}) for name in order)
            pieces.append(_Piece(partition, key, directory))
        return is_batch, pieces

    def _target(self, scratch: Any) -> LocalTarget | S3Target:
        if not isinstance(self.target, str) or not self.target:
            raise TargetError(f"target={self.target!r} is no place: write a directory or s3://bucket/prefix")
        if self.target.startswith("s3://"):
            return S3Target(self.target, s3_hook(self.aws_conn_id), scratch)
        if "://" in self.target:
            raise TargetError(
                f"target={self.target!r} is neither a directory nor s3://bucket/prefix: write one of these"
            )
        return LocalTarget(self.target)

    def _reads_s3(self, pieces: Sequence[_Piece]) -> bool:
        texts = [
            self.sql,
            *(value for piece in pieces for value in piece.partition.values() if isinstance(value, str)),
        ]
        return any("s3://" in text.lower() for text in texts)

    def _publish(
        self, query: PartitionQuery, target: LocalTarget | S3Target, piece: _Piece
    ) -> dict[str, Any] | None:
        """Publish one partition; `None` if it had no rows and was to be left alone."""
        started = time.monotonic()
        try:
            selection = query.select(piece.key, piece.partition)
            with target.staged(piece.key, piece.directory) as staged:
                rows = query.write(selection, staged.path)
                if rows == 0 and self.on_empty == "skip":
                    self.log.info("Partition %s has no rows: left as it is", piece.key)
                    return None
                if rows == 0 and self.on_empty == "fail":
                    raise QueryError(
                        f"partition {piece.key}: the query found no rows, and on_empty='fail': check the source, or use "
                        f"on_empty='replace' where an empty partition is right"
                    )
                size = staged.path.stat().st_size
                path = staged.publish()
        except OSError as error:
            raise AirflowException(f"partition {piece.key}: can't be written: {error}") from error
        seconds = time.monotonic() - started
        self.log.info("Published %s: %d rows, %d bytes in %.2f s at %s", piece.key, rows, size, seconds, path)
        return {"key": piece.key, "path": path, "rows": rows, "bytes": size}

    def _publish_each(
        self, query: PartitionQuery, target: LocalTarget | S3Target, pieces: Sequence[_Piece]
    ) -> list[dict[str, Any]]:
        published: list[dict[str, Any]] = []
        failed: dict[str, Exception] = {}
        for piece in pieces:
            try:
                result = self._publish(query, target, piece)
            except (MappingKitError, AirflowException) as error:
                self.log.error("%s", error)  # noqa: TRY400  the traceback comes with the error of the whole batch
                failed[piece.key] = error
            else:
                if result is not None:
                    published.append(result)
        if failed:
            message = (
                f"{len(failed)} of {len(pieces)} partitions failed: {_named(failed)}. Published: "
                f"{_named([result['key'] for result in published])}. First error: {next(iter(failed.values()))}"
            )
            bad_input = all(isinstance(error, MappingKitError) for error in failed.values())
            raise MappingKitError(message) if bad_input else AirflowException(message)
        if not published:
            raise AirflowSkipException(
                "no partition of the batch has rows: all left as they are (on_empty='skip')"
            )
        return published


def _named(keys: Any) -> str:
    names = list(keys)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return (", ".join(names[:_MAX_NAMED]) or "none") + more
