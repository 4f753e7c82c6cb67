"""Which partitions a change concerns: by hand, and against a reckoning that tries every pair."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mapping_kit.partitions import date_range, parse_partition_key, partition_key, time_window
from airflow_mapping_kit.partitions.concerned import (
    NO_KEY,
    OTHER_DIMENSIONS,
    OVERLAPS,
    Axis,
    concerned,
)
from airflow_mapping_kit.partitions.zones import UTC, load_zone

DAYS = Axis("date", ["2013-01-01", "2013-01-02", "2013-02-01"], "day")
ORIGINS = Axis("origin", ["EWR", "JFK"])
CELLS = [f"{date} {origin}" for date in DAYS.values for origin in ORIGINS.values]


def named(*keys, axes=(DAYS, ORIGINS), zone=UTC):
    """Return the cells that changes concern, by name, and what is unknown."""
    found = concerned(axes, [(key, 1) for key in keys], zone)
    names = [" ".join(values) for values in itertools.product(*(axis.values for axis in axes))]
    assert set(found.newest.values()) <= {1}
    return [names[cell] for cell in sorted(found.newest)], found.unknown


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ("date=2013-01-01/origin=JFK", ["2013-01-01 JFK"]),
        ("origin=JFK/date=2013-01-01", ["2013-01-01 JFK"]),
        ("date=2013-01-02", ["2013-01-02 EWR", "2013-01-02 JFK"]),
        ("origin=EWR", ["2013-01-01 EWR", "2013-01-02 EWR", "2013-02-01 EWR"]),
        ("carrier=UA/date=2013-01-02/origin=EWR", ["2013-01-02 EWR"]),
        ("carrier=UA/date=2013-01-02", ["2013-01-02 EWR", "2013-01-02 JFK"]),
        ("date=2013-01-02T05/origin=EWR", ["2013-01-02 EWR"]),
        ("date=2013-01/origin=EWR", ["2013-01-01 EWR", "2013-01-02 EWR"]),
        ("date=2013/origin=EWR", ["2013-01-01 EWR", "2013-01-02 EWR", "2013-02-01 EWR"]),
        ("date=2013-Q1/origin=EWR", ["2013-01-01 EWR", "2013-01-02 EWR", "2013-02-01 EWR"]),
        ("date=2013-W01/origin=EWR", ["2013-01-01 EWR", "2013-01-02 EWR"]),
        ("2013-01-02", ["2013-01-02 EWR", "2013-01-02 JFK"]),
        ("date=2013-01-03/origin=JFK", []),
        ("date=2013-01-01/origin=LGA", []),
        ("date=yesterday", []),
        ("date=2013-02-30", []),
    ],
)
def test_a_change_concerns_the_cells_that_agree_with_it_in_what_both_have(key, cells):
    assert named(key) == (cells, {})


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("carrier=UA", OTHER_DIMENSIONS),
        ("Date=2013-01-01", OTHER_DIMENSIONS),
        ("everything", NO_KEY),
        ("2013-01-01T00:00:00", NO_KEY),
        ("", NO_KEY),
        ("date=", NO_KEY),
        ("date=2013-01-01/origin=J#~0123456789ab", NO_KEY),
        ("date=%zz", NO_KEY),
        ("date=2013-01-01/date=2013-01-02", NO_KEY),
    ],
)
def test_of_what_does_not_say_which_partition_it_is_nothing_is_known(key, reason):
    assert named(key) == ([], {reason: [key]})


def test_periods_that_only_overlap_are_unknown_and_those_within_are_concerned():
    months = Axis("date", ["2013-01", "2013-02"], "month")
    assert named("date=2013-W03", axes=[months]) == (["2013-01"], {})
    assert named("date=2013-W05", axes=[months]) == ([], {OVERLAPS: ["date=2013-W05"]})
    # Of another origin there is nothing that could be unknown.
    assert named("date=2013-W05/origin=LGA", axes=[months, ORIGINS]) == ([], {})
    weeks = Axis("date", ["2013-W04", "2013-W05"], "week")
    assert named("date=2013-01", axes=[weeks]) == (["2013-W04"], {OVERLAPS: ["date=2013-01"]})


def test_hours_are_of_the_day_that_the_zones_clock_shows():
    new_york = load_zone("America/New_York")
    of = {"axes": [DAYS], "zone": new_york}
    assert named("date=2013-01-01T23-0500", **of) == (["2013-01-01"], {})
    # An hour without an offset is one of UTC, and one of another clock is when it is.
    assert named("date=2013-01-02T04", **of) == (["2013-01-01"], {})
    assert named("date=2013-01-02T05+0100", **of) == (["2013-01-01"], {})
    hours = Axis("hour", date_range("2013-11-03T00", "2013-11-03T02", every="hour"), "hour")
    assert named("hour=2013-11-02T20-0400", axes=[hours]) == (["2013-11-03T00"], {})
    # The days of a clock that is half an hour ahead cut the hours of UTC.
    kolkata = {"axes": [DAYS], "zone": load_zone("Asia/Kolkata")}
    assert named("date=2013-01-01T18", **kolkata) == ([], {OVERLAPS: ["date=2013-01-01T18"]})


def test_numbers_are_no_years_unless_the_dimension_is_of_periods():
    numbers = Axis("flight", ["2013", "2013-01"])
    assert named("flight=2013", axes=[numbers]) == (["2013"], {})
    assert named("2013-01", axes=[numbers]) == ([], {NO_KEY: ["2013-01"]})


def test_a_period_alone_is_not_guessed_where_two_dimensions_are_of_periods():
    two = [DAYS, Axis("booked", ["2013-01-01"], "day")]
    assert named("2013-01-01", axes=two) == ([], {NO_KEY: ["2013-01-01"]})


def test_no_value_a_hidden_one_and_odd_ones_are_compared_as_text():
    axis = Axis("token", ["__HIVE_DEFAULT_PARTITION__", "*f4a3760644d0", "a/b=c", "*"])
    keys = {value: partition_key({"token": value}) for value in ("a/b=c", "*")}
    assert named(partition_key({"token": None}), axes=[axis])[0] == ["__HIVE_DEFAULT_PARTITION__"]
    assert named("token=*f4a3760644d0", axes=[axis])[0] == ["*f4a3760644d0"]
    for value, key in keys.items():
        assert named(key, axes=[axis])[0] == [value]


def test_the_newest_change_counts_whichever_it_is():
    changes = [("date=2013-01-01", 3), ("origin=EWR", 5), ("date=2013-01-01", 4), ("date=2013-01", 1)]
    newest = concerned([DAYS, ORIGINS], changes, UTC).newest
    assert {CELLS[cell]: moment for cell, moment in newest.items()} == {
        "2013-01-01 EWR": 5,
        "2013-01-01 JFK": 4,
        "2013-01-02 EWR": 5,
        "2013-01-02 JFK": 1,
        "2013-02-01 EWR": 5,
    }


def test_a_scheme_without_values_has_no_cell_that_a_change_could_concern():
    assert concerned([Axis("date", [], "day"), ORIGINS], [("origin=EWR", 1)], UTC).newest == {}
    assert concerned([], [("origin=EWR", 1)], UTC).unknown == {OTHER_DIMENSIONS: ["origin=EWR"]}


PERIODS = [
    *date_range("2012-12-28", "2013-01-03"),
    *date_range("2012-12-28", "2013-01-14", every="week"),
    *date_range("2012-12-28", "2013-02-14", every="month"),
    "2012-Q4",
    "2013",
]
KEYS = st.dictionaries(st.sampled_from("date a b".split()), st.sampled_from("xyz"), min_size=1).flatmap(
    lambda partition: st.sampled_from(PERIODS).map(
        lambda day: {**partition, **({"date": day} if "date" in partition else {})}
    )
)


def days_of(period):
    window = time_window(period)
    return set(date_range(window["start"][:10], window["end"][:10])[:-1])


def agree(one, other, cadence):
    if one == other or not cadence:
        return one == other
    days, others = days_of(one), days_of(other)
    return days <= others or others <= days


@given(
    cadence=st.sampled_from(["day", "week", "month"]),
    changes=st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=12),
    order=st.permutations(["date", "a"]),
    chosen=st.none() | st.lists(st.integers(0, 11), unique=True),
)
def test_it_finds_what_trying_every_pair_finds(cadence, changes, order, chosen):
    axes = {
        "date": Axis("date", date_range("2012-12-28", "2013-02-03", every=cadence), cadence),
        "a": Axis("a", list("xy")),
    }
    axes = [axes[name] for name in order]
    pairs = [(partition_key(partition), moment) for partition, moment in changes]
    expected = {}
    places = list(itertools.product(*(range(len(axis.values)) for axis in axes)))
    rows = None if chosen is None else [places[number] for number in chosen if number < len(places)]
    for cell, row in enumerate(places if rows is None else rows):
        values = [axis.values[place] for axis, place in zip(axes, row, strict=True)]
        ours = dict(zip(order, values, strict=True))
        for key, moment in pairs:
            theirs = parse_partition_key(key)
            common = ours.keys() & theirs.keys()
            if common and all(
                agree(ours[name], theirs[name], axes[order.index(name)].cadence) for name in common
            ):
                expected[cell] = max(moment, expected.get(cell, -1))
    assert concerned(axes, pairs, UTC, rows).newest == expected
