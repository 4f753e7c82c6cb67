from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import parse_partition_key, partition_key, piece_key
from airflow_mapping_kit.partitions.pieces import distinct


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
            assert key.startswith("x=" + partition_key({"x": filler})[2:] * 50)
            for cut in (key, f"{key}#2"):
                with pytest.raises(PartitionError, match="and cut: what is left of it is no partition"):
                    parse_partition_key(cut)

    def test_of_512_bytes_it_is_whole(self):
        assert piece_key({"x": "y" * 510}) == "x=" + "y" * 510
        assert "#~" in piece_key({"x": "y" * 511})

    @pytest.mark.parametrize("arguments", [{}, None, [], "x"])
    def test_of_nothing_is_an_error(self, arguments):
        with pytest.raises(PartitionError, match="at least one mapped argument"):
            piece_key(arguments)


def test_equal_keys_are_told_apart_in_plan_order():
    assert distinct(["a", "b", "a", "a", "b"]) == ["a", "b", "a#2", "a#3", "b#2"]
    assert distinct([]) == []


def test_no_key_is_taken_by_a_number_that_another_got():
    keys = [piece_key({"x": value}) for value in ("a", "a#2", "a", "a#2")]
    assert len(set(distinct(keys))) == 4
