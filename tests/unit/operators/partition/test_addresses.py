from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.operators.partition.addresses import addresses


def test_the_directory_is_the_key():
    (address,) = addresses([{"origin": "EWR", "date": "2013-01-01"}], None)
    assert address.key == address.directory == "date=2013-01-01/origin=EWR"


def test_partition_by_orders_the_directories_and_leaves_the_key():
    (address,) = addresses([{"origin": "EWR", "date": "2013-01-01"}], ["origin", "date"])
    assert address.directory == "origin=EWR/date=2013-01-01"
    assert address.key == "date=2013-01-01/origin=EWR"


def test_what_airflow_hides_is_a_digest_in_the_key_and_stays_in_the_directory_that_readers_take_it_from():
    (address,) = addresses([{"token": "ETH", "date": "2013-01-01"}], ["token", "date"])
    assert address.directory == "token=ETH/date=2013-01-01"
    assert address.key == "date=2013-01-01/token=*f4a3760644d0"
    assert address.partition == {"token": "ETH", "date": "2013-01-01"}


@pytest.mark.parametrize("partition_by", [[], ["origin"], ["origin", "origin"], ["origin", "date", "hour"]])
def test_partition_by_names_exactly_the_dimensions(partition_by):
    with pytest.raises(
        PartitionError, match=r"partition date=1/origin=EWR: partition_by=.*\(date, origin\) once"
    ):
        addresses([{"origin": "EWR", "date": "1"}], partition_by)


def test_two_partitions_with_one_key_are_refused():
    with pytest.raises(PartitionError, match="the same key 'id=1'"):
        addresses([{"id": 1}, {"id": "1"}], None)


@pytest.mark.parametrize("value", ["..", "a/../../b", "a=b", "%2F", "\n", "/etc", "\\", "é😀"])
def test_a_value_is_one_component(value):
    (address,) = addresses([{"name": value}], None)
    assert address.directory.startswith("name=")
    assert "/" not in address.directory
    assert address.directory not in {".", ".."}
