from __future__ import annotations

import json

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import batches


def test_a_batch_has_at_most_batch_size_items():
    assert batches(range(5), batch_size=2) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    "limits", [{"batch_size": 3}, {"max_json_bytes": 9}, {"batch_size": 3, "max_json_bytes": 9}]
)
def test_no_items_are_no_batches(limits):
    assert batches([], **limits) == []


def test_bytes_are_those_that_airflow_stores_for_the_batch():
    # ["ab", "cd"] is 12 bytes.
    assert batches(["ab", "cd"], max_json_bytes=12) == [["ab", "cd"]]
    assert batches(["ab", "cd"], max_json_bytes=11) == [["ab"], ["cd"]]
    # "\u00e9" is 8 bytes.
    assert batches(["é"], max_json_bytes=10) == [["é"]]
    with pytest.raises(PartitionError):
        batches(["é"], max_json_bytes=9)


@pytest.mark.parametrize(("batch_size", "max_json_bytes", "longest"), [(2, 1000, 2), (1000, 9, 3)])
def test_the_smaller_limit_wins(batch_size, max_json_bytes, longest):
    plan = batches([1, 2, 3, 4, 5, 6], batch_size=batch_size, max_json_bytes=max_json_bytes)
    assert {len(batch) for batch in plan} == {longest}


def test_an_item_over_the_limit_is_an_error_that_names_it_and_its_size():
    item = {"file": "x" * 50}
    size = len(json.dumps([item]))
    with pytest.raises(
        PartitionError, match=rf"item 1, \{{'file': 'xxx.*takes {size} bytes.*max_json_bytes=40"
    ):
        batches([{"file": "a"}, item], max_json_bytes=40)


@pytest.mark.parametrize("item", [object(), b"x", float("nan"), {1, 2}])
def test_an_item_that_cannot_be_json_is_an_error(item):
    with pytest.raises(PartitionError, match="item 0, .*can't be written as JSON"):
        batches([item], max_json_bytes=1000)


def test_no_limit_is_an_error():
    with pytest.raises(PartitionError, match="pass batch_size"):
        batches([1])


@pytest.mark.parametrize("limit", [0, -1, 1.0, "5", True, [1]])
@pytest.mark.parametrize("name", ["batch_size", "max_json_bytes"])
def test_a_limit_that_is_no_whole_number_is_an_error_that_names_it(name, limit):
    with pytest.raises(PartitionError) as error:
        batches([1], **{name: limit})
    assert f"{name} is {limit!r}" in str(error.value)


@pytest.mark.parametrize("items", ["abc", {"a": 1}, {1, 2}, None, 5])
def test_items_that_are_no_list_are_an_error(items):
    with pytest.raises(PartitionError, match="'items'"):
        batches(items, batch_size=1)
