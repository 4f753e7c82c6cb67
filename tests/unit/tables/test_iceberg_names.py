"""What the kit takes of pyiceberg without its documentation telling of it: a new release that lacks it fails here."""

from __future__ import annotations

import inspect

import pytest
from pyiceberg.io import FileIO
from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.io.pyarrow import (
    PyArrowFileIO,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    pyarrow_to_schema,
)
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.schema import promote
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update.snapshot import UpdateSnapshot


def parameters(call):
    return [name for name in inspect.signature(call).parameters if name != "self"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ManifestFile.fetch_manifest_entry, ["io", "discard_deleted"]),
        (PyArrowFileIO.parse_location, ["location", "properties"]),
        (Transaction.update_snapshot, ["snapshot_properties", "branch"]),
        (UpdateSnapshot.overwrite, ["commit_uuid"]),
        (ancestors_of, ["current_snapshot", "table_metadata"]),
        (compute_statistics_plan, ["schema", "table_properties"]),
        (
            data_file_statistics_from_parquet_metadata,
            ["parquet_metadata", "stats_columns", "parquet_column_mapping"],
        ),
        (parquet_path_to_id_mapping, ["schema"]),
        (pyarrow_to_schema, ["schema", "name_mapping", "downcast_ns_timestamp_to_us", "format_version"]),
        (promote, ["file_type", "read_type"]),
    ],
    ids=lambda one: getattr(one, "__qualname__", ""),
)
def test_calls_take_what_they_are_given(call, expected):
    assert parameters(call) == expected


def test_an_overwrite_takes_files_out_and_in():
    overwrite = inspect.signature(UpdateSnapshot.overwrite).return_annotation
    assert overwrite == "_OverwriteFiles"
    from pyiceberg.table.update.snapshot import _OverwriteFiles

    assert (
        parameters(_OverwriteFiles.delete_data_file)
        == parameters(_OverwriteFiles.append_data_file)
        == ["data_file"]
    )
    assert parameters(_OverwriteFiles.delete_by_predicate) == ["predicate", "case_sensitive"]


def test_storage_can_be_stood_before_and_listed():
    assert FileIO.__abstractmethods__ == {"new_input", "new_output", "delete"}
    assert callable(PyArrowFileIO().fs_by_scheme)
    assert callable(FsspecFileIO({}).get_fs)


def test_retries_are_a_property_of_the_table():
    assert TableProperties.COMMIT_NUM_RETRIES == "commit.retry.num-retries"


def test_a_file_is_described_by_the_fields_of_the_format():
    file = DataFile.from_args(file_path="a", record_count=1, null_value_counts={1: 0})
    assert (file.file_path, file.record_count, file.null_value_counts) == ("a", 1, {1: 0})
