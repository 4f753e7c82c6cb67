"""What pieces return as JSON that every reader takes."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import deque, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from airflow_mapping_kit.plain import plain


class Colour(str, enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    at: date


class Modelled:
    def model_dump(self):
        return {"when": date(2024, 1, 2), "nan": float("nan")}


Pair = namedtuple("Pair", ["first", "second"])
MOMENT = datetime(2024, 1, 31, 6, tzinfo=timezone.utc)
LOOP = []
LOOP.append(LOOP)


class Awkward:
    """An object that raises whatever is asked of it, as a thing that belongs to a closed connection may."""

    __attrs_attrs__ = property(lambda self: 1 / 0)

    def __getattr__(self, name):
        raise RuntimeError(name)


class Broken(dict):
    def items(self):
        raise RuntimeError("closed")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        ("naïve ✓", "naïve ✓"),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        (b"\xff\x00", "/wA="),
        (bytearray(b"a"), "YQ=="),
        (MOMENT, "2024-01-31T06:00:00+00:00"),
        (date(2024, 1, 31), "2024-01-31"),
        (time(6, 30), "06:30:00"),
        (timedelta(minutes=1.5), 90.0),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), None),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ((1, MOMENT), [1, "2024-01-31T06:00:00+00:00"]),
        (Pair(1, {2}), [1, [2]]),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (
            {1: "a", None: "b", False: "c", date(2024, 1, 2): "d"},
            {"1": "a", "null": "b", "false": "c", "2024-01-02": "d"},
        ),
        (Point(1, date(2024, 1, 2)), {"x": 1, "at": "2024-01-02"}),
        (Modelled(), {"when": "2024-01-02", "nan": None}),
        (np.int64(5), 5),
        (np.float32(1.5), 1.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2024-01-01T00:00:00.000000001"), "2024-01-01T00:00:00.000000001"),
        (np.array(["2024-01-01", "NaT"], dtype="datetime64[ns]"), ["2024-01-01T00:00:00.000000000", None]),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2024-01-01"), "2024-01-01T00:00:00"),
        (pd.Timedelta("90s"), 90.0),
        (pd.Period("2024-01"), "2024-01"),
        (pd.Series([1.5, None]), [1.5, None]),
        (
            pd.DataFrame({"n": [1, 2], "at": [pd.Timestamp("2024-01-01"), pd.NaT], "of": [None, "x"]}),
            [{"n": 1, "at": "2024-01-01T00:00:00", "of": None}, {"n": 2, "at": None, "of": "x"}],
        ),
    ],
)
def test_what_has_a_form_in_json_gets_it(value, expected):
    left_out = set()
    found = plain({"value": [value]}, left_out)
    assert found == {"value": [expected]}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert not left_out


@pytest.mark.parametrize(
    ("value", "expected", "named"),
    [
        ({"a": 1, "b": object()}, {"a": 1, "b": None}, "object"),
        ([1, 1 + 2j], [1, None], "complex"),
        ([Awkward()], [None], "Awkward"),
        (np.array([1 + 2j]), [None], "complex"),
        (LOOP, None, "list (RecursionError)"),
        (Broken(a=1), None, "Broken (RuntimeError)"),
    ],
)
def test_what_has_none_is_null_and_its_type_is_named(value, expected, named):
    left_out = set()
    assert plain(value, left_out) == expected
    assert left_out == {named}
