from __future__ import annotations

import pytest

from airflow_mapping_kit.printable import lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.csv\n2026-11-25 INFO - nothing to delete", r"a.csv\n2026-11-25 INFO - nothing to delete"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("\x9b2J and \x85", r"\x9b2J and \x85"),
        ("50 %\rdone", r"50 %\rdone"),
        ("nul\0 del\x7f", r"nul\x00 del\x7f"),
        ("gpj.\u202eexe \u2066x\u2069 \u200f", r"gpj.\u202eexe \u2066x\u2069 \u200f"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("hidden\u200b\ufeff\U000e0041", r"hidden\u200b\ufeff\U000e0041"),
        ("half \udcff", r"half \udcff"),
    ],
)
def test_what_steers_a_terminal_or_forges_a_line_is_shown_instead_of_obeyed(text, shown):
    assert one_line(text) == shown


@pytest.mark.parametrize(
    "text", ["Zürich/東京.csv", "a\u00a0b", "नमस्\u200dते", "👩\u200d👩\u200d👧", r"C:\data", "[red]x[/red]"]
)
def test_what_people_write_stays_as_it_is(text):
    assert one_line(text) == text
    assert lines(text) == text


def test_a_text_of_several_lines_keeps_them_and_its_tabs():
    assert lines("a\r\n\tb\x1b[1m\rc\n") == "a\n\tb\\x1b[1m\\rc\n"


def test_what_can_not_be_printed_is_named():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert one_line(Odd()) == "a Odd that can't be printed"


def test_what_is_no_text_is_shown_as_one():
    assert one_line(7) == "7"
