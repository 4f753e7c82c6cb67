from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.names import ObjectName, literal, parse_name, quoted


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("flights", ("FLIGHTS",)),
        ("public.flights", ("PUBLIC", "FLIGHTS")),
        ('lake."Raw Data".flights_2013$', ("LAKE", "Raw Data", "FLIGHTS_2013$")),
        ('"a.b"."say ""hi"""', ("a.b", 'say "hi"')),
        ('"; DROP TABLE x; --"', ("; DROP TABLE x; --",)),
        ("_x", ("_X",)),
        ('"{{ x }}"', ("{{ x }}",)),
    ],
)
def test_a_name_has_the_parts_that_snowflake_reads(text, parts):
    assert parse_name("table", text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        7,
        "a b",
        "1a",
        "a..b",
        ".a",
        "a.",
        "a.b.c.d",
        'a"b"',
        '""',
        '"open',
        "a; DROP TABLE b",
        "a--",
        "naïve",
        "a\n",
        "@stage",
        "%table",
        "a" * 256,
    ],
)
def test_what_is_no_name_is_refused_with_the_argument_and_the_text(text):
    with pytest.raises(TargetError) as raised:
        parse_name("table", text)

    assert f"table={text!r}" in str(raised.value)


def test_every_part_is_quoted_for_sql_and_read_back_as_it_was():
    name = ObjectName("LAKE", 'say "hi"', "a.b")

    assert str(name) == '"LAKE"."say ""hi"""."a.b"'
    assert parse_name("table", str(name)) == tuple(name)
    assert parse_name("table", quoted("MixedCase")) == ("MixedCase",)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain.csv", "'plain.csv'"),
        ("o'clock", "'o''clock'"),
        ("a\\b", "'a\\\\b'"),
        ("\\'", "'\\\\'''"),
        ("two\nlines", "'two\nlines'"),
        ("100%", "'100%'"),
    ],
)
def test_text_is_written_so_that_neither_quotes_nor_backslashes_end_it(text, written):
    assert literal(text) == written
