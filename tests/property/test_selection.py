"""The grammar of selections, against what it says in plain words, on generated text."""

from __future__ import annotations

import time
from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mapping_kit.exceptions import SelectionError
from airflow_mapping_kit.partitions.selection import Selection, selections_of

# What means something, what nearly does, and what doesn't.
SIGNS = [
    *' ,=!*?"./%',
    "..",
    '""',
    "NULL",
    "null",
    "%2C",
    "%",
    "\n",
    "é",
    "\udcff",
    "<",
    "#~",
    "*8cf3ebbdacdd",
]
WORDS = [
    "date",
    "origin",
    "2013",
    "2013-01",
    "2013-02-30",
    "2013-W05",
    "2013-01-01T05-0500",
    "10",
    "-1.5",
    "EWR",
]
PARTS = st.sampled_from(SIGNS + WORDS)
TEXTS = st.one_of(st.text(), st.lists(PARTS, max_size=14).map("".join))
VALUES = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.lists(PARTS, min_size=1, max_size=3).map("".join),
    st.dates().map(str),
    st.integers(-20, 20).map(str),
)


@given(TEXTS)
@example('"2013-01"..*')
@example("a%3Db")
@example('a="".."b"')
def test_any_text_is_read_or_refused_and_what_is_read_is_written_so_that_it_reads_the_same(text):
    selection = read(text)
    if isinstance(selection, int):
        assert 0 <= selection <= len(text)
        return
    written = str(selection)
    assert Selection.parse(written) == selection
    assert str(Selection.parse(written)) == written


@given(TEXTS, VALUES, VALUES)
def test_matching_refuses_unknown_dimensions_and_nothing_else(text, date, origin):
    try:
        found = Selection.parse(text).matches({"date": date, "origin": origin, "n x": "7"}, "label")
    except SelectionError:
        return
    assert found in (True, False)


def read(text):
    """Return the selection that a text writes, or where it can't be read."""
    try:
        return Selection.parse(text)
    except SelectionError as error:
        return error.position


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


@given(st.lists(VALUES, max_size=4), VALUES, st.booleans())
def test_a_list_of_any_values_selects_just_these(wanted, value, negated):
    if not wanted:
        return
    items = ",".join("NULL" if one is None else quoted(one) for one in wanted)
    selection = Selection.parse(f"date{'!' if negated else ''}={items}")
    # The text that keys have for no value is no value.
    same = [None if one == "__HIVE_DEFAULT_PARTITION__" else one for one in wanted]
    assert selection.matches({"date": value}) == ((value in same) != negated)


def like(pattern, text):
    """Whether a text fits a pattern, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(like(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and like(pattern[1:], text[1:])


@given(st.text("ab*?", min_size=1, max_size=7), st.text("ab", max_size=8))
def test_wildcards_fit_what_trying_everything_finds(pattern, value):
    assert Selection.parse(f"x={pattern}").matches({"x": value}) == like(pattern, value)
    assert Selection.parse(f"y{pattern}").matches({"x": f"Y{value}"}) == any(
        like(f"Y{pattern}*".upper(), f"Y{value}".upper()[at:]) for at in range(len(value) + 1)
    )


@given(st.dates(), st.dates(), st.dates())
def test_days_are_in_a_range_as_dates_are(low, high, day):
    low, high = sorted((low, high))
    assert Selection.parse(f"x={low}..{high}").matches({"x": str(day)}) == (low <= day <= high)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_numbers_are_in_a_range_as_numbers_are(low, high, number):
    low, high = sorted((low, high))
    assert Selection.parse(f"x={low}..{high}").matches({"x": number}) == (low <= number <= high)


@given(
    st.lists(VALUES, min_size=1, max_size=5, unique=True),
    st.lists(VALUES, min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_selections_of_a_set_are_that_set_each_partition_in_one(dates, origins, data):
    dimensions = [("date", dates), ("n x", origins)]
    every = [dict(zip(("date", "n x"), pair, strict=True)) for pair in product(dates, origins)]
    some = data.draw(st.lists(st.sampled_from(every), unique_by=repr))
    made = [Selection.parse(str(one)) for one in selections_of(some, dimensions)]
    for partition in every:
        assert sum(one.matches(partition) for one in made) == (partition in some)


def test_nothing_takes_longer_than_its_length_asks_for():
    started = time.process_time()
    for text in (
        '"' * 100_001,
        "." * 100_000,
        "a=b/" * 25_000,
        "%2" * 50_000,
        "a=1/" * 25_000,
        ",a=" * 30_000,
    ):
        read(text)
    assert not read("*a" * 5_000 + "b").matches({"x": "a" * 20_000})
    assert read("date=1/origin=a" + ",date=1/origin=b" * 10_000).matches({"date": "1", "origin": "a"})
    assert read("x=" + "y," * 50_000 + "x").matches({"x": "x"})
    assert not Selection.parse("x=" + "*a" * 100 + "*b").matches({"x": "a" * 20_000})
    assert not Selection.parse("x=*" + "?" * 200 + "b*").matches({"x": "a" * 20_000})
    assert time.process_time() - started < 5
