"""A report as text: what it says, that nothing in it is obeyed, and how long it may be."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in import failure_text, report_markdown

NAUGHTY = [
    "path=a`b``c/x=[click](http://evil)",
    "x=<script>alert(1)</script>",
    "x=</code><img src=x>|<!channel>",
    "x=@everyone *bold* _it_ # h\n# two",
    "x=`",
    "x=|a|&amp;\u202eabc",
    "x=\\`y\\`",
]


def row(key, error="no such file", state="failed"):
    return {
        "key": key,
        "label": key,
        "map_index": 0,
        "state": state,
        "try_number": 1,
        "duration_s": 1.0,
        "value": None,
        "error": {"type": "ValueError", "message": error} if error else None,
    }


def report(*rows, succeeded=0, **more):
    counts = {"total": len(rows) + succeeded, "succeeded": succeeded, "failed": len(rows)}
    return {**counts, "skipped": 0, "upstream_failed": 0, "not_started": 0, "results": list(rows), **more}


def test_a_report_says_how_many_failed_of_what_and_which():
    text = report_markdown(
        report(row("date=1/origin=EWR"), row("date=2/origin=EWR"), row("date=3", "x"), succeeded=90)
    )
    assert text.split("\n") == [
        "**3 of 93 pieces failed** (90 succeeded, 3 failed)",
        "- 2 × `ValueError: no such file` (`origin: EWR 2`)",
        "    - `date=1/origin=EWR`",
        "    - `date=2/origin=EWR`",
        "- 1 × `ValueError: x`",
        "    - `date=3`",
    ]


def test_of_a_report_whose_rows_are_elsewhere_the_numbers_are_those_of_all():
    given = report(row("id=1"), row("id=2"))
    del given["results"]
    given.update(failed=5000, total=9000, succeeded=4000, errors=[["TypeError: a", 4000], ["b", 1000]])
    text = report_markdown({**given, "failures": [row("id=1"), row("id=2")], "written_to": "s3://lake/x"})
    assert text.split("\n") == [
        "**5,000 of 9,000 pieces failed** (4,000 succeeded, 5,000 failed)",
        "- 4,000 × `TypeError: a`",
        "- 1,000 × `b`",
        "- of them",
        "    - `id=1`",
        "    - `id=2`",
        "- and 4,998 more",
    ]


def test_nothing_has_failed_in_a_report_without_failures():
    assert report_markdown(report(succeeded=3)) == "**0 of 3 pieces failed** (3 succeeded)"
    assert report_markdown(report()) == "**0 of 0 pieces failed**"


@pytest.mark.parametrize("text", NAUGHTY)
def test_nothing_in_a_key_or_an_error_is_obeyed_by_what_reads_markdown(text):
    html = MarkdownIt("commonmark").render(report_markdown(report(row(text, text))))
    assert set(re.findall(r"<(\w+)", html)) == {"p", "strong", "ul", "li", "code"}
    assert html.count("<code>") == 2
    # What stands in code is text: the links and tags of the text are still to be read.
    shown = html.partition("<code>")[2]
    assert ("http://evil" in shown) == ("http://evil" in text)
    assert ("&lt;script&gt;" in shown) == ("<script>" in text)


@pytest.mark.parametrize("text", NAUGHTY)
@pytest.mark.parametrize("form", ["html", "slack"])
def test_nor_by_what_reads_html_or_slacks_own(text, form):
    said = report_markdown(report(row(text, text)), form=form)
    tags = re.findall(r"<([^>]*)>", said)
    assert set(tags) <= {"b", "/b", "br", "code", "/code"}
    assert (not tags) == (form == "slack")
    assert "\u202e" not in said
    if form == "slack":
        assert said.count("`") == 4


def test_a_text_is_no_longer_than_it_may_be_and_counts_what_it_leaves_out():
    rows = [row(f"id={number}{'x' * 400}", f"error {number}") for number in range(50)]
    for form in ("markdown", "slack", "html"):
        for length in (300, 3000):
            text = report_markdown(report(*rows), form=form, max_length=length)
            assert len(text) <= length
            named = text.count("id=")
            assert f"{50 - named} {'more' if named else 'pieces'}" in text
            assert named > 0 or length == 300


def test_a_form_that_there_is_not_is_said_when_the_dag_is_parsed():
    with pytest.raises(FanInError, match="form='text' is unknown: choose one of markdown, slack, html"):
        failure_text("text")
