from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import parse_partition_key, partition_key, unique_partitions
from airflow_mapping_kit.partitions.hidden import HiddenValue


class Country(str, enum.Enum):
    US = "US"


class Real(float):
    def __repr__(self):
        return "Real"


class TestPartitionKey:
    @pytest.mark.parametrize(
        ("partition", "key"),
        [
            ({"date": "2024-11-20", "country": "US"}, "country=US/date=2024-11-20"),
            ({"a": None}, "a=__HIVE_DEFAULT_PARTITION__"),
            ({"a": "NULL", "b": "null", "c": "nUlL"}, "a=%4EULL/b=%6Eull/c=%6EUlL"),
            ({"null": "NULLS", "x": " null", "y": "nul"}, "null=NULLS/x= null/y=nul"),
            ({"a": True, "b": False}, "a=true/b=false"),
            ({"a": 1, "b": -1.5, "c": 1e300}, "a=1/b=-1.5/c=1e+300"),
            ({"a": "x/../y"}, "a=x%2F..%2Fy"),
            ({"a": ".."}, "a=.."),
            ({"a": "50%=5"}, "a=50%25%3D5"),
            ({"a": "{{ ds }}"}, "a=%7B%7B ds }}"),
            ({"a": "{% x %}{# y #}"}, "a=%7B%25 x %25}%7B%23 y %23}"),
            ({"a": 'O\'Hara "x"'}, "a=O%27Hara %22x%22"),
            ({"a": "1\n2\t3\0\x7f"}, "a=1%0A2%093%00%7F"),
            ({"a": "\"#%'*/:=?\\{[]^"}, "a=%22%23%25%27%2A%2F%3A%3D%3F%5C%7B%5B%5D%5E"),
            ({"a": "a b|c}~,;!@$&()+`<>"}, "a=a b|c}~,;!@$&()+`<>"),
            ({"a": "Ünïcode 🛫"}, "a=Ünïcode 🛫"),
            ({"a/b": 1, "=": 2}, "%3D=2/a%2Fb=1"),
            ({"a": Country.US, "b": Real(1.5)}, "a=US/b=1.5"),
            ({"a": "x" * 300}, "a=" + "x" * 300),
        ],
    )
    def test_is_the_path_that_hive_writes(self, partition, key):
        assert partition_key(partition) == key

    def test_a_text_that_equals_a_digest_has_a_key_of_its_own(self):
        digest = HiddenValue("*f52fbd32b2b3")
        for _ in range(2):
            assert partition_key({"id": str(digest)}) == "id=%2Af52fbd32b2b3"
            assert partition_key({"id": digest}) == "id=*f52fbd32b2b3"

    @pytest.mark.parametrize(
        ("partition", "named"),
        [
            ({}, "at least one dimension"),
            ({"a": ""}, "'a' has an empty string"),
            ({"a": float("nan")}, "'a' has the value nan"),
            ({"a": float("inf")}, "'a' has the value inf"),
            ({"a": "__HIVE_DEFAULT_PARTITION__"}, "'a' .* use None"),
            ({"a": "\udcff"}, "'a' .*surrogate"),
            ({"a": [1]}, r"'a' has the value \[1\] of type list"),
            ({"a": datetime(2013, 1, 1)}, "'a' .* of type datetime: write it as text, such as '2013-01-01'"),
            ({"a": Decimal(1)}, "of type Decimal"),
            ({"": 1}, "'' can't name a dimension"),
            ({1: 1}, "1 can't name a dimension"),
            ({"a": 1, None: 1}, "None can't name a dimension"),
            ({"\ud800": 1}, "can't name a dimension"),
            ([("a", 1)], "no partition: pass a dict"),
            ("a=1", "no partition: pass a dict"),
            (None, "no partition: pass a dict"),
        ],
    )
    def test_what_has_no_key_is_an_error_that_names_it(self, partition, named):
        with pytest.raises(PartitionError, match=named):
            partition_key(partition)


class TestParsePartitionKey:
    def test_gives_text_and_none(self):
        assert parse_partition_key("b=1/a=x%2Fy/c=__HIVE_DEFAULT_PARTITION__/d=true") == {
            "b": "1",
            "a": "x/y",
            "c": None,
            "d": "true",
        }

    def test_reads_what_others_write(self):
        assert parse_partition_key("a=x%2fy=z/b=NULL") == {"a": "x/y=z", "b": "NULL"}

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "a",
            "a=",
            "=1",
            "/a=1",
            "a=1/",
            "a=1//b=2",
            "a=1/a=2",
            "a=1/%61=2",
            "a=5%",
            "a=%2",
            "a=%zz",
            None,
            1,
            b"a=1",
        ],
    )
    def test_what_is_no_key_is_an_error_that_names_it(self, key):
        with pytest.raises(PartitionError) as error:
            parse_partition_key(key)
        assert repr(key) in str(error.value)


class TestUniquePartitions:
    def test_returns_the_plan_as_plain_dicts_in_order(self):
        assert unique_partitions(partition for partition in [{"a": 2}, {"a": 1}]) == [{"a": 2}, {"a": 1}]

    def test_two_partitions_with_one_key_are_an_error_that_names_both(self):
        with pytest.raises(PartitionError) as error:
            unique_partitions([{"a": 1, "b": 2}, {"a": 0, "b": 2}, {"b": "2", "a": 1}])
        assert "{'a': 1, 'b': 2} (number 0) and {'a': 1, 'b': '2'} (number 2)" in str(error.value)
        assert "'a=1/b=2'" in str(error.value)

    def test_a_partition_without_a_key_is_an_error(self):
        with pytest.raises(PartitionError, match="'a' has an empty string"):
            unique_partitions([{"a": 1}, {"a": ""}])
