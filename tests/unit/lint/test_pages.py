"""The page of each rule: its example fires the rule, and what it says to use instead fires none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_mapping_kit.lint import pages
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
LOOKED_AT = [rule for rule in RULES.values() if rule.check is not None]


def found(code, wanted):
    findings = of_source(Source("page.py", code.encode()), Settings(), wanted)
    return {one.rule for one in findings}


@pytest.mark.parametrize("rule", LOOKED_AT, ids=lambda rule: rule.id)
def test_the_example_fires_its_rule_and_what_is_better_none(rule):
    bad, good = BLOCK.findall(pages.text(rule))
    wanted = {one.id for one in RULES.values() if one.on} | {rule.id}
    # A mapped trigger that waits is a run an item, too.
    assert found(bad, wanted) - ({"MAP001"} if rule.id == "MAP003" else set()) == {rule.id}
    assert found(good, wanted) == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_each_rule_has_a_page_of_its_name(rule):
    assert pages.text(rule).startswith(f"# {rule.id}: {rule.name}\n")


def test_there_is_a_page_for_each_rule_and_no_other():
    found = {path.stem for path in Path(pages.__file__).with_name("pages").glob("*.md")}
    assert found == set(RULES)


def test_the_table_of_the_documentation_says_what_the_rules_are():
    rows = re.findall(
        r"^\| \[(MAP\d+)\]\(\.\./airflow_mapping_kit/lint/pages/\1\.md\) \| (.+) \| (.+) \| (.+) \|$",
        (ROOT / "docs" / "lint.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [
        (rule.id, rule.name, rule.summary, rule.severity if rule.on else "off") for rule in RULES.values()
    ]


def test_the_changelog_names_the_rules():
    entry = (ROOT / "CHANGELOG.md").read_text().split("- [`mapping-kit lint`]")[1].split("\n- ")[0]
    listed = re.search(r"rules MAP([\d–, and]+) on DAG files", entry)
    named = set()
    for first, last in re.findall(r"(\d{3})(?:–(\d{3}))?", listed[1]):
        named |= {id_ for id_ in RULES if first <= id_[3:] <= (last or first)}
    assert named == set(RULES)
