"""Every rule, on files that say themselves what is to be found where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import look, of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source

EVAL = Path(__file__).parent / "eval"
EXPECTED = re.compile(r'(MAP\d{3}): (\d+)(?: "([^"]*)")?')


def expected(source):
    """Return what a file says of itself: rule, line and column, and a part of the message."""
    found = {}
    for number, line in enumerate(source.text.split("\n"), 1):
        _, mark, comment = line.partition("  # MAP")
        for rule, column, part in EXPECTED.findall(f"MAP{comment}" if mark else ""):
            found[rule, number, int(column)] = part
    return found


@pytest.mark.parametrize("path", sorted(EVAL.glob("*.py")), ids=lambda path: path.stem)
def test_findings_are_those_that_the_file_says_and_no_others(path):
    source = Source(str(path), path.read_bytes())
    rule = path.stem[:6].upper()
    wanted = {id_ for id_, one in RULES.items() if one.on or id_ == rule}
    findings = of_source(source, Settings(), wanted)
    marked = expected(source)
    assert {(one.rule, one.place.line, one.place.column + 1) for one in findings} == set(marked)
    for one in findings:
        assert marked[one.rule, one.place.line, one.place.column + 1] in one.message


def test_of_files_that_are_compared_those_are_found_that_say_so_and_no_others():
    paths = sorted((EVAL / "map401").glob("*.py"))
    found = {(Path(one.place.path).name, one.place.line): one for one in look(paths, Settings()).findings}
    marked = {
        (path.name, line): part
        for path in paths
        for (_, line, _), part in expected(Source(str(path), path.read_bytes())).items()
    }
    assert set(found) == set(marked)
    for place, part in marked.items():
        assert found[place].rule == "MAP401"
        assert part in found[place].message


def test_every_rule_has_a_file():
    named = {path.stem[:6].upper() for path in EVAL.glob("map*")}
    assert named == set(RULES) - {"MAP000"}
