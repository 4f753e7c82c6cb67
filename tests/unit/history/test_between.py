"""The periods between those that runs had, of every cadence: none left out, none that no run makes."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from airflow_mapping_kit.history.axes import dimension
from airflow_mapping_kit.history.between import filled, longest_gap
from airflow_mapping_kit.history.stale import of_keys
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions.zones import load_zone

CHANGED = datetime(2024, 12, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("every", "zone", "nights"),
    [
        ("15min", "Europe/Berlin", ("2024-10-26T22:00", "2024-10-27T05:00")),
        ("*/20 * * * *", "Australia/Lord_Howe", ("2024-10-05T23:00", "2024-10-06T05:00")),
        ("*/20 8-17 * * *", "Asia/Kolkata", ("2024-10-25T12:00", "2024-10-27T12:00")),
        ("30 2 * * 0-5", "Europe/Berlin", ("2024-03-22", "2024-04-05")),
        ("0 0 29 2 *", "Europe/Berlin", ("1999-01-01", "2030-01-01")),
    ],
)
def test_every_period_between_two_is_filled_in_whatever_the_clock_does(every, zone, nights):
    whole = date_range(*nights, every=every, timezone=zone)
    assert filled([whole[-1], whole[0], whole[2]], every, zone) == (whole, [], [])


@pytest.mark.parametrize(
    ("every", "number"),
    [
        ("minute", 5760), ("15min", 384), ("hour", 336), ("*/20 8-17 * * *", 336), ("day", 62), ("0 6 * * 1-5", 62),
        ("week", 27), ("0 6 * * 1", 27), ("0 6 1 * *", 24), ("month", 24), ("quarter", 10), ("0 0 29 2 *", 10),
    ],
)  # fmt: skip
def test_of_a_cron_expression_as_many_are_filled_in_as_of_periods_that_are_as_long(every, number):
    assert longest_gap(every) == number


@pytest.mark.parametrize(
    ("every", "early", "late", "gap"),
    [
        (
            "minute",
            ["2015-01-01T06:00", "2015-01-01T06:01", "2015-01-01T06:02"],
            ["2025-01-01T06:00", "2025-01-01T06:01", "2025-01-01T06:02"],
            ("2015-01-01T06:03", "2025-01-01T05:59"),
        ),
        (
            "*/20 8-17 * * *",
            ["2015-01-01T17:20", "2015-01-01T17:40", "2015-01-02T08:00"],
            ["2025-01-01T17:20", "2025-01-01T17:40", "2025-01-02T08:00"],
            ("2015-01-02T08:20", "2025-01-01T17:00"),
        ),
        (
            "0 6 * * 1-5",
            ["2015-01-01T06:00", "2015-01-02T06:00", "2015-01-05T06:00"],
            ["2025-01-01T06:00", "2025-01-02T06:00", "2025-01-03T06:00"],
            ("2015-01-06T06:00", "2024-12-31T06:00"),
        ),
    ],
)
def test_ten_years_without_runs_are_named_in_no_time_and_what_is_before_and_after_is_filled_in(
    every, early, late, gap
):
    began = time.process_time()
    assert filled([early[0], early[2], late[0], late[2]], every, "UTC") == ([*early, *late], [gap], [])
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["2024-11-01T06:00", "2024-11-08T06:00"], "0 7 * * *"),
        (["2024-11-01T00:15", "2024-11-08T00:45"], "20min"),
        (["2024-11-01", "2024-11-08"], "15min"),
        (["2024-11-01T05+0100", "2024-11-08T05+0100"], "hour"),
    ],
)
def test_what_was_made_before_the_cadence_or_the_zone_was_changed_stays_and_nothing_is_missing_there(
    before, after
):
    since = date_range("2024-11-09T01", "2024-11-10T01", every=after)
    found, rest = dimension("date", {*before, since[0], since[-1]}, every=after, filling=True)
    assert found.values == [*before, *since]
    assert (rest.gaps, rest.others) == ([], before)


@pytest.mark.parametrize(
    ("every", "change", "concerned"),
    [
        ("15min", "2024-11-20T13:20", [1]),
        ("15min", "2024-11-20T13", [0, 1, 2]),
        ("0 6 * * *", "2024-11-21T05:45", [0]),
        ("0 6 * * *", "2024-11-21T07", [1]),
    ],
)
def test_a_change_within_the_time_of_a_period_makes_it_stale_also_where_partitions_are_known_by_key(
    every, change, concerned
):
    keys = [f"date={one}" for one in date_range("2024-11-20T13:00", "2024-11-22T13:00", every=every)[:3]]
    found = of_keys(keys, {f"date={change}": CHANGED}, load_zone("UTC"), every)
    assert sorted(found.newest) == concerned
    assert found.unknown == {}
