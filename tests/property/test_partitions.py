from __future__ import annotations

import itertools
import json
import math
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import (
    batches,
    date_range,
    parse_partition_key,
    partition_key,
    piece_key,
    product,
    time_window,
    zipped,
)
from airflow_mapping_kit.partitions.bounds import bounds_of
from airflow_mapping_kit.partitions.ended import ended_periods
from airflow_mapping_kit.partitions.windows import windows
from airflow_mapping_kit.partitions.zones import load_zone

DEFAULT = "__HIVE_DEFAULT_PARTITION__"
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
texts = names.filter(lambda text: text != DEFAULT) | st.sampled_from(["NULL", "Null", "null"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
CLOCK = ["5min", "12min", "20min", "hour"]
# In the hours in which clocks change: at times that are skipped or shown twice, and every hour.
CRONS = ["30 1 * * *", "15 0,2 * * *", "*/20 * * * *", "0 0-23 * * *", "0,30 2 * * SUN", "59 23 L * *"]
CADENCES = ["20min", "hour", "day", "week", "month", "quarter", "year", *CRONS[:2]]
# Of these there are so many in a day, or so much longer one lasts, that fewer of them are looked at.
A_DAY = {"5min": 288, "12min": 120, "20min": 72, "hour": 24, "*/20 * * * *": 72, "0 0-23 * * *": 24}
LONG = {"week": 250, "month": 1100, "quarter": 3200, "year": 12000, "0,30 2 * * SUN": 130}


@given(st.dictionaries(names, texts | st.none(), min_size=1))
def test_text_survives_the_round_trip_through_a_key(partition):
    assert parse_partition_key(partition_key(partition)) == partition


@given(st.dictionaries(names, scalars, min_size=1))
def test_the_key_of_a_parsed_key_is_the_key(partition):
    key = partition_key(partition)
    assert partition_key(parse_partition_key(key)) == key


@given(st.dictionaries(names, scalars, min_size=1))
def test_a_key_has_a_component_per_dimension_and_cannot_leave_its_directory(partition):
    components = partition_key(partition).split("/")
    assert len(components) == len(partition)
    for component in components:
        assert component not in {"", ".", ".."}
        assert component.count("=") == 1
        assert not set(component) & {"\\", "'", '"', "\0", "\n", "{"}


@given(st.dictionaries(names, scalars, min_size=1), st.randoms())
def test_the_order_of_the_dimensions_means_nothing(partition, random):
    shuffled = list(partition.items())
    random.shuffle(shuffled)
    assert partition_key(dict(shuffled)) == partition_key(partition)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=3))
def test_every_piece_has_a_key_that_survives_json_and_fits(arguments):
    key = piece_key(arguments)
    assert 0 < len(key.encode()) <= 512
    assert piece_key(json.loads(json.dumps(arguments))) == key


@given(st.dictionaries(names, scalars, min_size=1))
def test_the_key_of_a_mapped_partition_is_the_partition_key_unless_it_is_long(partition):
    key = partition_key(partition)
    assume(len(key.encode()) <= 512)
    assert piece_key({"partition": partition}) == key


dimensions = st.dictionaries(
    names.filter(lambda name: name != "exclude"),
    st.lists(scalars, min_size=1, max_size=4, unique_by=lambda value: partition_key({"x": value})),
    min_size=1,
    max_size=4,
)


@given(dimensions)
def test_a_product_has_every_combination_once_in_order(lists):
    plan = product(**lists)
    assert len(plan) == math.prod(map(len, lists.values()))
    assert [list(partition) for partition in plan] == [list(lists)] * len(plan)
    expected = list(itertools.product(*lists.values()))
    assert [repr(tuple(partition.values())) for partition in plan] == list(map(repr, expected))
    assert len(set(map(partition_key, plan))) == len(plan)


@given(dimensions, st.data())
def test_exclude_takes_away_exactly_what_matches(lists, data):
    partial = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in lists.items()}
    )
    exclude = data.draw(st.lists(partial.filter(bool), max_size=4))

    def excluded(partition):
        return any(
            all(
                partition_key({"x": partition[name]}) == partition_key({"x": partial[name]})
                for name in partial
            )
            for partial in exclude
        )

    whole = product(**lists)
    assert product(**lists, exclude=exclude) == [partition for partition in whole if not excluded(partition)]


@given(
    st.lists(
        st.tuples(scalars, scalars),
        min_size=1,
        unique_by=lambda pair: partition_key({"a": pair[0], "b": pair[1]}),
    )
)
def test_zipped_has_every_position_once_in_order(pairs):
    plan = zipped(b=[b for _, b in pairs], a=[a for a, _ in pairs])
    assert [(partition["a"], partition["b"]) for partition in plan] == pairs


@given(
    st.lists(json_values, max_size=20),
    st.none() | st.integers(1, 10),
    st.none() | st.integers(2, 200),
)
def test_batching_loses_and_doubles_nothing_and_keeps_to_the_limits(items, batch_size, max_json_bytes):
    assume(batch_size or max_json_bytes)

    def size(batch):
        return len(json.dumps(batch).encode())

    if max_json_bytes and any(size([item]) > max_json_bytes for item in items):
        with pytest.raises(PartitionError):
            batches(items, batch_size=batch_size, max_json_bytes=max_json_bytes)
        return
    plan = batches(items, batch_size=batch_size, max_json_bytes=max_json_bytes)
    assert [item for batch in plan for item in batch] == items
    for batch in plan:
        assert 0 < len(batch) <= (batch_size or math.inf)
        assert size(batch) <= (max_json_bytes or math.inf)
    for batch, following in itertools.pairwise(plan):  # no batch is smaller than it has to be
        longer = [*batch, following[0]]
        assert len(longer) > (batch_size or math.inf) or size(longer) > (max_json_bytes or math.inf)


def assert_tiles(start, end, every, zone):
    """Check that the windows of bare dates follow each other, hold the range, and keep their keys."""
    keys = date_range(start, end, every=every, timezone=zone)
    assert len(set(keys)) == len(keys)
    windows = [
        tuple(
            datetime.fromisoformat(bound) for bound in time_window(key, every=every, timezone=zone).values()
        )
        for key in keys
    ]
    clock = ZoneInfo(zone)
    for key, (opens, closes) in zip(keys, windows, strict=True):
        assert opens < closes
        last = (closes.astimezone(timezone.utc) - timedelta(microseconds=1)).astimezone(clock)
        for moment in (opens, last):
            assert date_range(moment, moment, every=every, timezone=zone) == [key]
        if every in CLOCK:
            shown = {moment.astimezone(clock).isoformat()[:13] for moment in (opens, last)}
            assert shown == {key[:13]}
        if every in CRONS:
            assert opens.astimezone(clock).isoformat()[:16] == key[:16]
    for (_, closes), (opens, _) in itertools.pairwise(windows):
        assert closes == opens
    if keys:
        days = [time_window(day, timezone=zone) for day in date_range(start, end, timezone=zone)]
        assert windows[0][0] <= datetime.fromisoformat(days[0]["start"])
        assert windows[-1][1] >= datetime.fromisoformat(days[-1]["end"])
        if every in CLOCK and len(keys) > 1:
            assert windows[1][0] > datetime.fromisoformat(days[0]["start"])
            assert windows[-2][1] < datetime.fromisoformat(days[-1]["end"])
    return keys


@settings(max_examples=250)
@given(
    st.dates(date(3, 1, 1), date(9990, 1, 1)) | st.dates(date(1850, 1, 1), date(2040, 1, 1)),
    st.integers(0, 40),
    st.sampled_from(CADENCES),
    st.sampled_from(ZONES),
)
@example(date(2011, 12, 25), 10, "day", "Pacific/Apia")
@example(date(2011, 12, 29), 2, "hour", "Pacific/Apia")
@example(date(2024, 10, 1), 10, "hour", "Australia/Lord_Howe")
@example(date(2024, 4, 1), 10, "hour", "Australia/Lord_Howe")
@example(date(2006, 10, 25), 10, "hour", "America/St_Johns")
@example(date(2006, 10, 25), 10, "day", "America/St_Johns")
@example(date(1867, 10, 10), 20, "day", "America/Juneau")
@example(date(1867, 10, 10), 20, "hour", "America/Juneau")
@example(date(1919, 3, 25), 10, "day", "America/Toronto")
@example(date(1972, 1, 1), 10, "hour", "Africa/Monrovia")
@example(date(2018, 11, 1), 5, "day", "America/Sao_Paulo")
@example(date(2018, 2, 15), 5, "hour", "America/Sao_Paulo")
@example(date(2024, 3, 28), 5, "hour", "Asia/Beirut")
@example(date(2006, 10, 28), 2, "5min", "America/St_Johns")
@example(date(1867, 10, 18), 1, "12min", "America/Juneau")
@example(date(2011, 12, 28), 5, "30 1 * * *", "Pacific/Apia")
@example(date(2006, 10, 25), 5, "15 0,2 * * *", "America/St_Johns")
@example(date(2024, 2, 25), 99, "59 23 L * *", "America/Havana")
def test_windows_of_any_zone_and_cadence_tile_their_range(start, days, every, zone):
    assert_tiles(start, start + timedelta(days=min(days, 36 // A_DAY.get(every, 1))), every, zone)


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2040, 1, 1)),
    st.lists(st.timedeltas(timedelta(), timedelta(days=40)), min_size=1, max_size=6),
    st.sampled_from(CADENCES),
    st.sampled_from(ZONES),
    st.integers(-30, 30),
)
@example(datetime(2011, 12, 29, 9), [timedelta(hours=7)] * 6, "day", "Pacific/Apia", -1)
@example(datetime(2024, 11, 3, 4, 30), [timedelta(hours=1)] * 5, "hour", "America/New_York", 1)
@example(datetime(2006, 10, 29, 1), [timedelta(minutes=50)] * 4, "day", "America/St_Johns", 0)
def test_consecutive_intervals_have_each_ended_period_once(start, lengths, every, zone, offset):
    lengths = [length / (A_DAY.get(every, 1)) for length in lengths]
    moments = list(itertools.accumulate(lengths, initial=start.replace(tzinfo=timezone.utc)))
    cadence = {"every": every, "timezone": zone}
    found = [ended_periods(*interval, **cadence) for interval in itertools.pairwise(moments)]
    around = timedelta(days=2 if every in A_DAY else LONG.get(every, 40))
    every_key = date_range(moments[0] - around, moments[-1] + around, **cadence)
    ends = [datetime.fromisoformat(time_window(key, **cadence)["end"]) for key in every_key]
    ended = [index for index, end in enumerate(ends) if moments[0] < end <= moments[-1]]
    assert [key for keys in found for key in keys] == [every_key[index] for index in ended]
    shifted = ended_periods(moments[0], moments[-1], **cadence, offset=offset)
    assert shifted == [every_key[index + offset] for index in ended]
    last = max(index for index, end in enumerate(ends) if end <= moments[-1])
    assert ended_periods(None, moments[-1], **cadence, offset=offset) == [every_key[last + offset]]


def one_by_one(start, end, every, zone):
    """Return the keys of a range by asking the zone's clock for each period."""
    clock = load_zone(zone)
    (first, _), (_, until) = bounds_of("start", start, clock), bounds_of("end", end, clock)
    return [window.key for window in windows(every, first, until, clock)]


@settings(max_examples=300)
@given(
    st.datetimes(datetime(1840, 1, 1), datetime(2100, 1, 1)),
    st.timedeltas(timedelta(), timedelta(days=800)),
    st.sampled_from(CADENCES),
    st.sampled_from([*ZONES, "+05:45", "-11:00"]),
)
@example(datetime(1993, 8, 20), timedelta(days=3), "day", "Pacific/Kwajalein")
@example(datetime(1844, 12, 30), timedelta(days=3), "day", "Asia/Manila")
@example(datetime(2011, 12, 30), timedelta(hours=20), "day", "Pacific/Apia")
@example(datetime(2011, 12, 30), timedelta(hours=20), "hour", "Pacific/Apia")
@example(datetime(1867, 10, 18, 20), timedelta(days=1), "day", "America/Juneau")
@example(datetime(1939, 8, 30), timedelta(days=9), "hour", "Africa/Freetown")
@example(datetime(2006, 10, 28, 23, 30), timedelta(hours=1), "day", "America/St_Johns")
@example(datetime(2018, 11, 4, 0, 30), timedelta(), "day", "America/Sao_Paulo")
@example(datetime(2018, 11, 4, 0, 30), timedelta(), "hour", "America/Sao_Paulo")
def test_keys_made_at_once_are_those_of_the_clock_asked_one_by_one(start, length, every, zone):
    end = start + length / A_DAY.get(every, 1)
    assert date_range(start, end, every=every, timezone=zone) == one_by_one(start, end, every, zone)


def changes_of(zone):
    """Return the days on whose UTC date the zone's offset changes, within the years of its history."""
    clock = ZoneInfo(zone)
    day = datetime(1900, 1, 1, tzinfo=timezone.utc)
    while day.year < 2030:
        following = day + timedelta(days=1)
        if day.astimezone(clock).utcoffset() != following.astimezone(clock).utcoffset():
            yield day.date()
        day = following


@pytest.mark.parametrize(
    "zone",
    [
        "Africa/Casablanca",
        "America/Havana",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Antarctica/Troll",
        "Asia/Gaza",
        "Asia/Kathmandu",
        "Asia/Manila",
        "Asia/Pyongyang",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Pacific/Apia",
        "Pacific/Kwajalein",
    ],
)
def test_hours_and_days_tile_around_changes_of_the_clock(zone):
    changes = list(changes_of(zone))
    for change in [*changes[:4], *changes[-4:]]:
        around = change - timedelta(days=1), change + timedelta(days=1)
        hours = assert_tiles(*around, "hour", zone)
        days = assert_tiles(*around, "day", zone)
        first, last = (time_window(days[index], timezone=zone) for index in (0, -1))
        length = datetime.fromisoformat(last["end"]) - datetime.fromisoformat(first["start"])
        assert len(hours) >= length / timedelta(hours=1)


CHANGES = {
    "America/New_York": [date(2024, 3, 10), date(2024, 11, 3)],
    "Europe/Berlin": [date(2024, 3, 31), date(2024, 10, 27)],
    "Australia/Lord_Howe": [date(2024, 10, 6), date(2024, 4, 7)],
    "Asia/Kathmandu": [date(1986, 1, 1)],
    # A minute past midnight.
    "America/St_Johns": [date(2011, 3, 13), date(2010, 11, 7)],
}


@pytest.mark.parametrize("zone", CHANGES)
def test_minutes_and_crons_tile_around_changes_of_the_clock(zone):
    for change in CHANGES[zone]:
        for every in ["15min", *CRONS[:3], "0,30 2 * * SUN"]:
            around = timedelta(days=LONG.get(every, 0) / 10)
            found = assert_tiles(change, change + around, every, zone)
            # In these nights too, what is made at once is what the clock has, asked for one by one.
            assert found == one_by_one(change.isoformat(), (change + around).isoformat(), every, zone)
