"""What a table is to tasks."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.described import check_names, homes_of, table_of, with_planned
from airflow_mapping_kit.tables.staged import checked


def piece(key, **partition):
    return {"key": key, "partition": partition, "path": None, "rows": 0, "bytes": 0}


def test_a_path_is_no_table_and_neither_is_any_other_dict():
    assert table_of("s3://lake/flights") is None
    assert table_of({"name": "lake.flights"}) is None


def test_a_table_that_a_template_has_made_text_of_is_no_directory():
    with pytest.raises(TargetError, match="came as text, by a template"):
        table_of(str({"mapping_kit_table": "iceberg"}))


def test_columns_that_differ_by_case_alone_are_refused():
    columns = [{"name": "Origin", "type": "VARCHAR"}, {"name": "origin", "type": "VARCHAR"}]
    with pytest.raises(
        TargetError, match="columns 'Origin' and 'origin', which are one to DuckDB: rename one"
    ):
        check_names({"name": "lake.flights", "columns": columns})


def test_a_dimension_lives_where_it_is_said_else_in_the_column_of_its_name():
    homes = homes_of({"date": " Day( departed at )", "origin": "origin code"})
    assert with_planned(homes, {"date", "origin", "carrier"}) == {
        "carrier": ("carrier", None),
        "date": ("departed at", "day"),
        "origin": ("origin code", None),
    }


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([piece("d=a", d="a"), piece("d=a", d="a")], "partition d=a was staged twice"),
        (
            [piece("d=a", d="a"), piece("e=a", e="a")],
            r"partition e=a has other dimensions than the others of load \(d\)",
        ),
        (
            [{"key": "d=a", "path": "/lake/d=a/data_0.parquet", "rows": 1, "bytes": 9}],
            "something that isn't staged for a table",
        ),
        ([None], "something that isn't staged for a table"),
    ],
)
def test_what_is_published_is_a_file_of_each_partition(pieces, said):
    with pytest.raises(TargetError, match=said):
        checked(pieces, "load")
