from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in.tolerance import Tolerance


@pytest.mark.parametrize(
    ("count", "percentage", "failed", "total", "exceeded"),
    [
        (None, None, 0, 5, False),
        (None, None, 1, 5, True),
        (None, None, 0, 0, False),
        (0, None, 0, 0, False),
        (None, 0, 0, 0, False),
        (None, 0, 1, 1000, True),
        (None, 7, 7, 100, False),
        (None, 7, 8, 100, True),
        (None, 33, 1, 3, True),
        (None, 34, 1, 3, False),
        (None, 33.3, 333, 1000, False),
        (None, 33.3, 334, 1000, True),
        (None, 0.1, 1, 1000, False),
        (None, 0.1, 2, 1000, True),
        (None, 100, 3, 3, False),
        (3, None, 3, 3, False),
        (3, None, 4, 1000, True),
        # Of two limits each counts.
        (3, 50, 4, 100, True),
        (60, 50, 51, 100, True),
        (3, 50, 3, 100, False),
        # As templates give them.
        ("3", None, 3, 9, False),
        ("None", " 7 ", 7, 100, False),
        (None, "33.3", 333, 1000, False),
    ],
)
def test_more_than_tolerated_is_strictly_more(count, percentage, failed, total, exceeded):
    assert Tolerance.of(count, percentage).exceeded(failed, total) is exceeded


@pytest.mark.parametrize("value", [-1, -0.5, "x", "", True, [], float("nan"), float("inf"), "1/0", "nan"])
def test_what_is_no_tolerance_is_refused_by_name_and_value(value):
    for arguments, name in (((value, None), "count"), ((None, value), "percentage")):
        with pytest.raises(FanInError) as error:
            Tolerance.of(*arguments)
        assert f"tolerated_failure_{name}={value!r} is no" in str(error.value)
        assert "from 0 to 100" in str(error.value)


def test_a_percentage_ends_at_a_hundred_and_a_count_is_whole():
    with pytest.raises(FanInError, match=r"tolerated_failure_percentage=100\.1 is not a percentage"):
        Tolerance.of(None, 100.1)
    with pytest.raises(FanInError, match=r"tolerated_failure_count=1\.5 is not a number of pieces"):
        Tolerance.of(1.5, None)
    assert Tolerance.of(1000, None).count == 1000


@pytest.mark.parametrize(
    ("count", "percentage", "text"),
    [
        (None, None, "none tolerated"),
        (3, None, "at most 3 tolerated"),
        (None, 7.5, "at most 7.5 % tolerated"),
        (3, 5, "at most 3 and at most 5 % tolerated"),
    ],
)
def test_it_says_what_is_tolerated(count, percentage, text):
    assert str(Tolerance.of(count, percentage)) == text
