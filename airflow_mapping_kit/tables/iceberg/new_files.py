"""A staged file as Iceberg's metadata tell of it, once it is certain to hold what its instance said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from pyiceberg.exceptions import ResolveError
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    pyarrow_to_schema,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import promote
from pyiceberg.typedef import Record

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.held import by_bounds, may_hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyarrow.parquet import FileMetaData
    from pyiceberg.io import FileIO
    from pyiceberg.io.fileformat import DataFileStatistics
    from pyiceberg.partitioning import PartitionField
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

    from airflow_mapping_kit.tables.iceberg.values import Dimension
    from airflow_mapping_kit.tables.staged import Staged

# A footer on S3 takes two requests: these many at a time.
_THREADS = 8
_AGAIN = "clear this instance of the mapped task, so that it stages the partition again"


class NewFiles:
    """What becomes of staged files in a table.

    :param io: of the table
    :param metadata: of the table
    :param name: of the table, for errors
    :param dimensions: of the plan
    """

    def __init__(
        self, io: FileIO, metadata: TableMetadata, name: str, dimensions: Sequence[Dimension]
    ) -> None:
        self._io, self._metadata, self._name, self._dimensions = io, metadata, name, dimensions
        self._schema, self._spec = metadata.schema(), metadata.spec()
        # A partition is told by these columns' bounds: whatever of them the table keeps, here they are needed whole.
        told_by = {
            *(one.field_id for one in dimensions),
            *(field.source_id for field in self._spec.fields),
        }
        names = [self._schema.find_column_name(field_id) for field_id in told_by]
        whole = {f"write.metadata.metrics.column.{name}": "full" for name in names}
        self._plan = compute_statistics_plan(self._schema, {**metadata.properties, **whole})
        self._ids = parquet_path_to_id_mapping(self._schema)
        self._fitting: list[Any] = []

    def of(self, staged: Iterable[tuple[str, tuple[Any, ...], Staged, int]]) -> list[DataFile]:
        """Return each file as the table's metadata tell of it.

        :param staged: of each its URI, the values of its partition, what its instance said, and its rows
        :raises TargetError: naming the partition, if the file is gone or doesn't fit the table
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda item: self._one(*item), staged))

    def _one(self, uri: str, value: tuple[Any, ...], piece: Staged, rows: int) -> DataFile:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_metadata

        source = self._io.new_input(uri)
        try:
            size = len(source)
            with source.open() as stream:
                footer = read_metadata(stream)
        except FileNotFoundError as error:
            raise TargetError(
                f"partition {piece['key']}: its staged file {uri} is gone: {_AGAIN}. Another tool may have removed it "
                f"as an orphan: its retention has to be longer than a run"
            ) from error
        except ArrowInvalid as error:
            raise TargetError(
                f"partition {piece['key']}: {uri} is no Parquet file ({error}): {_AGAIN}"
            ) from error
        self._check_columns(footer, uri, piece)
        return self._described(footer, uri, size, value, piece, rows)

    def _described(
        self,
        footer: FileMetaData,
        uri: str,
        size: int,
        value: tuple[Any, ...],
        piece: Staged,
        rows: int,
    ) -> DataFile:
        counted = data_file_statistics_from_parquet_metadata(footer, self._plan, self._ids)
        partition = [self._partition_value(counted, field, value, piece) for field in self._spec.fields]
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=uri,
            file_format=FileFormat.PARQUET,
            partition=Record(*partition),
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=self._spec.spec_id,
            equality_ids=None,
            key_metadata=None,
            **counted.to_serialized_dict(),
        )
        held = [by_bounds(one, file) for one in self._dimensions]
        # What bounds don't tell, the query that wrote the file has looked at.
        nulls_are_right = all(map(partial(_has_right_nulls, file), self._dimensions, value))
        if file.record_count != rows or not may_hold(held, value) or not nulls_are_right:
            raise TargetError(
                f"partition {piece['key']}: {uri} isn't what was staged, {rows} rows of {list(value)}: it "
                f"has {file.record_count} of {held}: {_AGAIN}"
            )
        self._check_required(file.null_value_counts, piece)
        return file

    def _partition_value(
        self, counted: DataFileStatistics, field: PartitionField, value: tuple[Any, ...], piece: Staged
    ) -> Any:
        for one, known in zip(self._dimensions, value, strict=True):
            # Of long text a file has no bounds: told by them, its partition would be NULL.
            if one.is_partitioned_by(field):
                return known
        try:
            told = counted.partition(PartitionSpec(field), self._schema)[0]
        except ValueError:
            said = "more than one"
        else:
            # Bounds leave NULL out: a file of 'EWR' and NULL would be one of 'EWR'.
            if told is None or not counted.null_value_counts.get(field.source_id):
                return told
            said = f"{told} and NULL"
        column = self._schema.find_column_name(field.source_id)
        raise TargetError(
            f"partition {piece['key']}: its rows belong to several partitions of the table {self._name}, which is "
            f"partitioned by {field.transform}({column}), too: they have {said}. Make that a dimension of the plan"
        )

    def _check_required(self, nulls: Mapping[int, int], piece: Staged) -> None:
        for field in self._schema.fields:
            if field.required and nulls.get(field.field_id):
                raise TargetError(
                    f"partition {piece['key']}: {nulls[field.field_id]} rows have no {field.name!r}, which the table "
                    f"{self._name} requires: leave them out of the query"
                )

    def _check_columns(self, footer: FileMetaData, uri: str, piece: Staged) -> None:
        """Check that the file's columns are the table's, by their ids: readers take them by these."""
        arrow = footer.schema.to_arrow_schema()
        # Those of one task are all alike.
        if any(arrow.equals(known, check_metadata=True) for known in self._fitting):
            return
        try:
            given = pyarrow_to_schema(arrow, format_version=self._metadata.format_version)
            said = self._misfit(given)
        except (ResolveError, ValueError) as error:
            said = str(error)
        if said:
            raise TargetError(
                f"partition {piece['key']}: {uri} doesn't fit the table {self._name}: {said}. Was the table changed "
                f"after it was looked up? Clear the task that looks it up and all after it"
            )
        self._fitting.append(arrow)

    def _misfit(self, given: Schema) -> str | None:
        for field_id in given.field_ids:
            path, kind = given.find_column_name(field_id), given.find_field(field_id).field_type
            if self._schema.find_column_name(field_id) != path:
                return f"the table has no {path!r} with the id {field_id}"
            wanted = self._schema.find_field(field_id).field_type
            if kind.is_primitive and kind != wanted:
                promote(kind, wanted)
        missing = [
            one.name for one in self._schema.fields if one.required and one.field_id not in given.field_ids
        ]
        return f"it has no {', '.join(map(repr, missing))}, which the table requires" if missing else None


def _has_right_nulls(file: DataFile, dimension: Dimension, value: Any) -> bool:
    nulls = file.null_value_counts.get(dimension.field_id)
    return nulls is None or nulls == (file.record_count if value is None else 0)
