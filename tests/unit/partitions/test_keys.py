from __future__ import annotations

import enum
import hashlib
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import parse_partition_key, partition_key, piece_key, unique_partitions


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
            ({"a": datetime(2013, 1, 1)}, "'a' .* of type datetime"),
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
        assert parse_partition_key("a=x%2fy=z") == {"a": "x/y=z"}

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


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class TestPieceKey:
    @pytest.mark.parametrize(
        ("arguments", "key"),
        [
            ({"partition": {"date": "2024-11-20", "country": "US"}}, "country=US/date=2024-11-20"),
            ({"country": "US"}, "country=US"),
            ({"flag": True}, "flag=true"),
            ({"x": None}, "x=__HIVE_DEFAULT_PARTITION__"),
            ({"files": ["a/b.csv"]}, "files=a%2Fb.csv"),
            ({"partition": [{"a": 1}]}, "a=1"),
            ({"x": 1, "day": "mon"}, "day=mon/x=1"),
            ({"x": 1, "part": {"date": "2024-11-20"}}, "part=date%3D2024-11-20/x=1"),
            ({"x": 1, "files": ["a"]}, "files=a/x=1"),
            ({"files": ["a", "b"]}, "files=" + digest('["a","b"]')),
            ({"files": []}, "files=" + digest('[]')),
            ({"x": ""}, "x=" + digest('""')),
            ({"x": {}}, "x=" + digest('{}')),
            ({"x": {"a": {"b": 1}, "A": 2}}, "x=" + digest('{"A":2,"a":{"b":1}}')),
            ({"x": float("nan")}, "x=" + digest('NaN')),
            ({"x": "\ud800"}, "x=" + digest('"\\ud800"')),
            ({"x": datetime(2013, 1, 1, tzinfo=timezone.utc)}, "x=" + digest('"2013-01-01T00:00:00+00:00"')),
            ({"x": [1, 2], "y": 1}, "x=" + digest('[1,2]') + "/y=1"),
        ],
    )  # fmt: skip
    def test_names_the_piece(self, arguments, key):
        assert piece_key(arguments) == key

    def test_does_not_depend_on_the_order_inside_dicts(self):
        assert piece_key({"a": 1, "x": {"b": [], "c": 1}}) == piece_key({"x": {"c": 1, "b": []}, "a": 1})

    def test_is_the_same_in_every_process(self):
        program = (
            "from airflow_mapping_kit.partitions import piece_key\n"
            "print(piece_key({'x': [{'b', 'a', 'c'}, object(), 1.5], 'y': {1: 2, 'z': 3}}))"
        )
        seen = {
            subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                capture_output=True,
                text=True,
                env={"PYTHONHASHSEED": seed},
            ).stdout
            for seed in ("1", "2")
        }
        assert len(seen) == 1

    @pytest.mark.parametrize("filler", ["x", "é", "🛫", "%"])
    def test_over_512_bytes_it_is_cut_between_characters_and_hashed(self, filler):
        keys = [piece_key({"x": filler * 600 + end}) for end in ("1", "2")]
        assert keys[0] != keys[1]
        for key in keys:
            assert 505 <= len(key.encode()) <= 512
            assert key[-13] == "~"
            assert key.startswith("x=" + partition_key({"x": filler})[2:] * 50)

    def test_of_512_bytes_it_is_whole(self):
        assert piece_key({"x": "y" * 510}) == "x=" + "y" * 510
        assert "~" in piece_key({"x": "y" * 511})

    @pytest.mark.parametrize("arguments", [{}, None, [], "x"])
    def test_of_nothing_is_an_error(self, arguments):
        with pytest.raises(PartitionError, match="at least one mapped argument"):
            piece_key(arguments)
