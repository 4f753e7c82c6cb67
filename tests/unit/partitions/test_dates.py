from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions import date_range, time_window


class TestKeys:
    @pytest.mark.parametrize(
        ("every", "expected"),
        [
            ("day", ["2012-12-30", "2012-12-31", "2013-01-01"]),
            ("week", ["2012-W52", "2013-W01"]),
            ("month", ["2012-12", "2013-01"]),
            ("quarter", ["2012-Q4", "2013-Q1"]),
            ("year", ["2012", "2013"]),
        ],
    )
    def test_every_period_that_touches_the_range_is_there(self, every, expected):
        assert date_range("2012-12-30", "2013-01-01", every=every) == expected

    def test_hours_in_utc_have_no_offset(self):
        assert date_range("2013-01-01T05", "2013-01-01T06", every="hour") == [
            "2013-01-01T05",
            "2013-01-01T06",
        ]

    @pytest.mark.parametrize("name", ["UTC", "utc", "Etc/UTC", "Zulu"])
    def test_every_name_of_utc_is_utc(self, name):
        assert date_range("2013-01-01T05", "2013-01-01T05", every="hour", timezone=name) == ["2013-01-01T05"]

    @pytest.mark.parametrize(
        ("zone", "expected"),
        [
            ("Europe/London", "2013-01-01T05+0000"),
            ("Asia/Kolkata", "2013-01-01T05+0530"),
            ("America/New_York", "2013-01-01T05-0500"),
            ("America/St_Johns", "2013-01-01T05-0330"),
            ("+01:00", "2013-01-01T05+0100"),
        ],
    )
    def test_hours_outside_utc_have_the_offset(self, zone, expected):
        assert date_range("2013-01-01T05", "2013-01-01T05", every="hour", timezone=zone) == [expected]

    def test_hours_of_local_mean_time_have_its_seconds(self):
        keys = date_range("1880-01-01", "1880-01-01", every="hour", timezone="Europe/Berlin")
        assert keys[0] == "1880-01-01T00+005328"
        assert len(keys) == 24

    def test_a_bare_end_date_includes_its_last_hour(self):
        assert date_range("2013-01-01", "2013-01-02", every="hour")[-1] == "2013-01-02T23"

    def test_an_end_at_midnight_touches_the_day_it_starts(self):
        assert date_range("2013-01-01", "2013-01-02T00:00", every="day") == ["2013-01-01", "2013-01-02"]

    @pytest.mark.parametrize(
        ("given", "first", "last"),
        [
            ("2013", "2013-01-01", "2013-12-31"),
            ("2013-Q4", "2013-10-01", "2013-12-31"),
            ("2012-02", "2012-02-01", "2012-02-29"),
            ("2020-W53", "2020-12-28", "2021-01-03"),
            ("2013-01-31", "2013-01-31", "2013-01-31"),
            ("2013-01-31T05", "2013-01-31", "2013-01-31"),
        ],
    )
    def test_a_period_key_as_start_and_end_is_that_whole_period(self, given, first, last):
        keys = date_range(given, given)
        assert (keys[0], keys[-1]) == (first, last)
        assert len(keys) == (date.fromisoformat(last) - date.fromisoformat(first)).days + 1

    @pytest.mark.parametrize(
        "given",
        [
            date(2013, 1, 31),
            datetime(2013, 1, 31, 23, 30),
            datetime(2013, 2, 1, 4, 30, tzinfo=timezone.utc),
            "2013-01-31T23:30:00",
            "2013-01-31 23:30",
            "2013-02-01T04:30:00Z",
            "2013-02-01T04:30:00.123456789Z",
            "2013-02-01T04:30:00.5+00:00",
            "2013-02-01T05:30:00+0100",
            "2013-02-01T04+0000",
        ],
    )
    def test_aware_times_are_converted_to_the_zone_and_naive_ones_are_local(self, given):
        assert date_range(given, given, timezone="America/New_York") == ["2013-01-31"]

    def test_subclasses_of_datetime_with_arithmetic_of_their_own_give_plain_keys(self):
        class Loud(datetime):
            def isoformat(self, *_):
                return "LOUD"

        assert date_range(Loud(2013, 1, 31, 5), Loud(2013, 1, 31, 5), every="hour") == ["2013-01-31T05"]


class TestChangesOfTheClock:
    @pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2024-11-04", 24)])
    def test_a_day_has_the_hours_that_its_clock_shows(self, day, hours):
        assert len(date_range(day, day, every="hour", timezone="America/New_York")) == hours
        window = time_window(day, timezone="America/New_York")
        length = datetime.fromisoformat(window["end"]) - datetime.fromisoformat(window["start"])
        assert length == timedelta(hours=hours)

    def test_the_repeated_hour_has_two_keys_and_the_missing_one_none(self):
        assert date_range("2024-11-03T01", "2024-11-03T01", every="hour", timezone="America/New_York") == [
            "2024-11-03T01-0400",
            "2024-11-03T01-0500",
        ]
        assert date_range("2024-03-10T01", "2024-03-10T03", every="hour", timezone="America/New_York") == [
            "2024-03-10T01-0500",
            "2024-03-10T03-0400",
        ]
        assert date_range("2024-03-10T02", "2024-03-10T02", every="hour", timezone="America/New_York") == []

    def test_one_of_the_repeated_hours_can_be_asked_for(self):
        key = "2024-11-03T01-0500"
        assert date_range(key, key, every="hour", timezone="America/New_York") == [key]

    def test_a_naive_repeated_time_is_the_first_as_start_and_the_second_as_end(self):
        moment = datetime(2024, 11, 3, 1, 30)
        assert date_range(moment, moment, every="hour", timezone="America/New_York") == [
            "2024-11-03T01-0400",
            "2024-11-03T01-0500",
        ]

    def test_a_naive_time_that_the_clock_skips_does_not_reach_the_hour_after_the_jump(self):
        moment = datetime(2024, 3, 10, 2, 30, 0, 5)
        zone = {"every": "hour", "timezone": "America/New_York"}
        assert date_range("2024-03-10T01", moment, **zone) == ["2024-03-10T01-0500"]
        assert date_range(moment, "2024-03-10T03", **zone) == ["2024-03-10T03-0400"]

    @pytest.mark.parametrize(
        ("key", "start", "end"),
        [
            ("2024-10-06T01+1030", "2024-10-06T01:00:00+10:30", "2024-10-06T02:30:00+11:00"),
            ("2024-10-06T02+1100", "2024-10-06T02:30:00+11:00", "2024-10-06T03:00:00+11:00"),
            ("2024-04-07T01+1100", "2024-04-07T01:00:00+11:00", "2024-04-07T01:30:00+10:30"),
            ("2024-04-07T01+1030", "2024-04-07T01:30:00+10:30", "2024-04-07T02:00:00+10:30"),
        ],
    )
    def test_hours_stay_on_the_local_clock_where_it_shifts_by_half_an_hour(self, key, start, end):
        assert time_window(key, timezone="Australia/Lord_Howe") == {"start": start, "end": end}
        assert date_range(key, key, every="hour", timezone="Australia/Lord_Howe") == [key]

    def test_a_day_starts_after_the_jump_where_there_is_no_midnight(self):
        assert time_window("2018-11-04", timezone="America/Sao_Paulo") == {
            "start": "2018-11-04T01:00:00-02:00",
            "end": "2018-11-05T00:00:00-02:00",
        }
        # Toronto jumped from 23:30 to 00:30.
        assert time_window("1919-03-31", timezone="America/Toronto")["start"] == "1919-03-31T00:30:00-04:00"

    def test_a_day_that_the_clock_skips_has_no_key(self):
        assert date_range("2011-12-29", "2011-12-31", timezone="Pacific/Apia") == ["2011-12-29", "2011-12-31"]
        assert date_range("2011-12-30", "2011-12-30", timezone="Pacific/Apia") == []
        with pytest.raises(PartitionError, match=r"'2011-12-30' doesn't exist in Pacific/Apia: leave it out"):
            time_window("2011-12-30", timezone="Pacific/Apia")

    def test_minutes_that_are_repeated_across_midnight_are_the_new_days(self):
        # St. John's: 00:01 on the 29th went back to 23:01 on the 28th.
        repeated = "2006-10-29T03:00:00Z"
        assert date_range(repeated, repeated, timezone="America/St_Johns") == ["2006-10-29"]
        keys = date_range("2006-10-29", "2006-10-29T01", every="hour", timezone="America/St_Johns")
        assert keys == [
            "2006-10-29T00-0230",
            "2006-10-28T23-0330",
            "2006-10-29T00-0330",
            "2006-10-29T01-0330",
        ]


class TestTimeWindow:
    @pytest.mark.parametrize(
        ("key", "start", "end"),
        [
            ("2013-01-01T23", "2013-01-01T23:00:00+00:00", "2013-01-02T00:00:00+00:00"),
            ("2013-12-31", "2013-12-31T00:00:00+00:00", "2014-01-01T00:00:00+00:00"),
            ("2013-W01", "2012-12-31T00:00:00+00:00", "2013-01-07T00:00:00+00:00"),
            ("2012-02", "2012-02-01T00:00:00+00:00", "2012-03-01T00:00:00+00:00"),
            ("2013-Q4", "2013-10-01T00:00:00+00:00", "2014-01-01T00:00:00+00:00"),
            ("2013", "2013-01-01T00:00:00+00:00", "2014-01-01T00:00:00+00:00"),
        ],
    )
    def test_bounds_are_half_open(self, key, start, end):
        assert time_window(key) == {"start": start, "end": end}

    def test_bounds_are_utc_where_the_offset_has_seconds(self):
        assert time_window("1880-01-01", timezone="Europe/Berlin")["start"] == "1879-12-31T23:06:32+00:00"

    def test_an_hour_without_offset_outside_utc_is_an_error_that_gives_the_keys(self):
        with pytest.raises(PartitionError, match=r"'2024-11-03T01-0400' or '2024-11-03T01-0500'"):
            time_window("2024-11-03T01", timezone="America/New_York")

    @pytest.mark.parametrize(
        ("key", "zone"),
        [
            ("2013-01-01T05+0000", "UTC"),
            ("2024-07-01T05-0500", "America/New_York"),
            ("2024-07-01T05-04", "America/New_York"),
            ("2013-01-01T05-0000", "Europe/London"),
            ("2024-03-10T02-0500", "America/New_York"),
            ("2024-03-10T02-0400", "America/New_York"),
            ("2013-01-01T24", "UTC"),
            ("2013-13", "UTC"),
            ("2013-02-30", "UTC"),
            ("2013-W53", "UTC"),
            ("2013-Q5", "UTC"),
            ("13", "UTC"),
            ("2013-01-01T05:00", "UTC"),
            ("２０１３", "UTC"),
            ("2013\n", "UTC"),
            ("", "UTC"),
            (2013, "UTC"),
            (None, "UTC"),
            ("0001", "UTC"),
            ("9999-12-31", "UTC"),
        ],
    )
    def test_what_is_no_key_is_an_error_that_names_it(self, key, zone):
        with pytest.raises(PartitionError) as error:
            time_window(key, timezone=zone)
        assert repr(key) in str(error.value)

    def test_the_last_years_of_the_calendar_work(self):
        assert date_range("9998", "9998", every="year") == ["9998"]
        assert date_range("0002", "0002-01-01", timezone="Pacific/Apia")[0] == "0002-01-01"
        assert time_window("9998-12-31T23")["end"] == "9999-01-01T00:00:00+00:00"


class TestExclude:
    def test_excluded_keys_are_left_out_in_the_range_or_not(self):
        assert date_range("2013-01-01", "2013-01-03", exclude=["2013-01-02", "2020-01-01"]) == [
            "2013-01-01",
            "2013-01-03",
        ]

    def test_an_excluded_hour_is_one_of_the_two(self):
        assert date_range(
            "2024-11-03T01",
            "2024-11-03T01",
            every="hour",
            timezone="America/New_York",
            exclude=["2024-11-03T01-0400"],
        ) == ["2024-11-03T01-0500"]

    @pytest.mark.parametrize("key", ["2013-01", "2013-1-2", "holiday", 20130102, None, date(2013, 1, 2)])
    def test_a_key_of_another_kind_is_an_error_that_names_it(self, key):
        with pytest.raises(PartitionError, match=r"the excluded key .* write it as '2013-01-01'") as error:
            date_range("2013-01-01", "2013-01-03", exclude=[key])
        assert repr(key) in str(error.value)

    def test_one_key_in_place_of_a_list_is_an_error(self):
        with pytest.raises(PartitionError, match=r"\['2013-01-02'\]"):
            date_range("2013-01-01", "2013-01-03", exclude="2013-01-02")


class TestMinutes:
    def test_they_are_told_apart_in_the_hour_that_comes_twice(self):
        made = {"every": "30min", "timezone": "America/New_York"}
        keys = date_range("2024-11-03T00:30", "2024-11-03T01:30", **made)
        assert keys == [
            "2024-11-03T00:30-0400",
            "2024-11-03T01:00-0400",
            "2024-11-03T01:30-0400",
            "2024-11-03T01:00-0500",
            "2024-11-03T01:30-0500",
        ]
        assert time_window(keys[3], **made) == {
            "start": "2024-11-03T01:00:00-05:00",
            "end": "2024-11-03T01:30:00-05:00",
        }

    def test_in_utc_they_have_no_offset_and_a_moment_within_is_enough(self):
        assert date_range("2024-11-20T13:07", "2024-11-20T13:15", every="5min") == [
            "2024-11-20T13:05",
            "2024-11-20T13:10",
            "2024-11-20T13:15",
        ]

    def test_a_part_that_the_clock_cuts_off_is_a_period(self):
        made = {"every": "20min", "timezone": "Australia/Lord_Howe"}
        (key,) = date_range("2024-10-06T02:30", "2024-10-06T02:30", **made)
        assert key == "2024-10-06T02:20+1100"
        assert time_window(key, **made)["start"] == "2024-10-06T02:30:00+11:00"
        assert date_range(key, key, **made) == [key]

    def test_a_whole_day_can_be_left_out_one_by_one(self):
        assert date_range("2024-11-20T13", "2024-11-20T13", every="30min", exclude=["2024-11-20T13:30"]) == [
            "2024-11-20T13:00"
        ]


class TestCron:
    @pytest.mark.parametrize(
        ("every", "expected"),
        [
            # Skipped at 02:30 on the 10th, it ticks when the clock jumps.
            ("30 2 * * *", ["2024-03-09T02:30-0500", "2024-03-10T03:00-0400", "2024-03-11T02:30-0400"]),
            ("*/30 2 * * *", ["2024-03-09T02:30-0500", "2024-03-11T02:00-0400", "2024-03-11T02:30-0400"]),
            ("0 0 L * *", ["2024-02-29T00:00-0500"]),
            ("0 6 * * MON", ["2024-03-04T06:00-0500", "2024-03-11T06:00-0400"]),
        ],
    )
    def test_every_period_between_ticks_that_touches_the_range_is_there(self, every, expected):
        found = date_range("2024-03-09T02:30", "2024-03-11T12:00", every=every, timezone="America/New_York")
        assert found == expected

    def test_what_the_clock_shows_twice_ticks_once_unless_every_hour_does(self):
        night = ("2024-11-03T01:00", "2024-11-03T02:00")
        once = date_range(*night, every="0 1,2 * * *", timezone="America/New_York")
        assert once == ["2024-11-03T01:00-0400", "2024-11-03T02:00-0500"]
        hourly = date_range(*night, every="0 * * * *", timezone="America/New_York")
        assert hourly == ["2024-11-03T01:00-0400", "2024-11-03T01:00-0500", "2024-11-03T02:00-0500"]

    def test_a_period_lasts_until_the_next_tick(self):
        assert time_window("2024-11-22T06:00", every="0 6 * * 1-5") == {
            "start": "2024-11-22T06:00:00+00:00",
            "end": "2024-11-25T06:00:00+00:00",
        }
        assert date_range("2096-03-01", "2100-01-01", every="0 0 29 2 *") == ["2096-02-29T00:00"]

    def test_a_year_mistyped_is_refused_before_any_is_made(self):
        with pytest.raises(PlanError, match="periods of \\*/15 .* are 6[0-9],[0-9]{3},[0-9]{3} pieces"):
            date_range("0213-01-01", "2013-01-31", every="*/15 * * * *")


class TestBadInput:
    @pytest.mark.parametrize(
        ("start", "end"),
        [
            ("2013-02-01", "2013-01-31"),
            ("2013-02", "2013-01"),
            (datetime(2013, 1, 1, 0, 0, 1), datetime(2013, 1, 1)),
            ("2013-01-01T01:00:00+01:00", "2013-01-01T01:00:00+02:00"),
        ],
    )
    def test_an_end_before_the_start_is_an_error_that_names_both(self, start, end):
        with pytest.raises(PartitionError, match="is before the start") as error:
            date_range(start, end)
        assert repr(start) in str(error.value)
        assert repr(end) in str(error.value)

    @pytest.mark.parametrize(
        "value",
        [
            "", "yesterday", "{{ ds }}", "2013-02-30", "2013-02-30T05:00", "2013-01-01T24:00",
            "2013-01-01T05:00+25:00",
            " 2013-01-01", "2013-01-01\n", "20130101", 2013, 1.5, None, True, [], float("nan"),
        ],
    )  # fmt: skip
    def test_what_is_no_date_is_an_error_that_names_it(self, value):
        with pytest.raises(PartitionError, match="is no date: write a date '2013-01-31'") as error:
            date_range(value, "2014-01-01")
        assert repr(value) in str(error.value)
        with pytest.raises(PartitionError, match="the end"):
            date_range("2012-01-01", value)

    @pytest.mark.parametrize(
        "value",
        [
            "0001-01-01",
            "9999-12-31",
            datetime.min,
            datetime.max,
            datetime.max.replace(tzinfo=timezone.utc),
            datetime(2, 1, 1, tzinfo=timezone(timedelta(hours=14))),
            date.max,
            "0000",
        ],
    )
    def test_the_ends_of_the_calendar_are_one_clear_error(self, value):
        with pytest.raises(PartitionError, match="years 2 to 9998|is no date"):
            date_range(value, value, timezone="Asia/Tokyo" if value != "0001-01-01" else "UTC", every="year")

    @pytest.mark.parametrize(
        ("key", "every", "message"),
        [
            ("2024-11-20T13:05", None, "doesn't say how long it lasts: say so, such as every='15min'"),
            ("2024-11-20T13:05", "15min", "is no key of 15min in UTC: write it as '2024-11-20T13:00'"),
            ("2024-11-20T13:00-0500", "15min", "is no key of 15min in UTC: write it as '2024-11-20T13:00'"),
            ("2024-11-20T13:05", "0 6 * * *", "in UTC: write it as '2024-11-20T06:00'"),
            ("2024-11-20", "15min", "is of a day, but the range is by 15min: write it as '2013-01-01T05:15'"),
            ("2024-11-20T13:05", "day", "is of a minute, but the range is by day"),
            ("2024-11-20T13:05", "45min", "'45min' is unknown: .*minutes that divide an hour"),
            (
                "2024-11-20T13:05",
                "@weekly",
                "is a schedule's: write 'week' for weeks from Monday, or .*'0 0 \\* \\* 0'",
            ),
            ("2024-11-20T13:05", "0 0 30 2 *", "has no day"),
            ("2024-11-20T13:05", "0 6 * *", "write its five fields"),
            ("2024-11-20T13:05", "0 6 * * * *", "write its five fields"),
            ("2024-11-20T13:05", "R 6 * * *", "without H and R"),
            ("2024-11-20T13:05", "61 6 * * *", "out of range"),
        ],
    )
    def test_a_key_and_a_cadence_that_do_not_fit_are_named(self, key, every, message):
        with pytest.raises(PartitionError, match=message):
            time_window(key, every=every)

    def test_an_unknown_cadence_is_an_error_that_lists_the_known(self):
        with pytest.raises(PartitionError, match=r"every='daily' is unknown: choose one of hour, day, week"):
            date_range("2013-01-01", "2013-01-02", every="daily")

    @pytest.mark.parametrize(
        "zone",
        ["Europe/Berlinn", "", "America", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", None, 1,
                 ZoneInfo("Europe/Berlin"), "+25:00", "local"],
    )  # fmt: skip
    def test_an_unknown_zone_is_an_error_that_names_it(self, zone):
        for call in (
            lambda: date_range("2013", "2013", timezone=zone),
            lambda: time_window("2013", timezone=zone),
        ):
            with pytest.raises(
                PartitionError, match="is no time zone: pass a name of the tz database"
            ) as error:
                call()
            assert repr(zone) in str(error.value)
