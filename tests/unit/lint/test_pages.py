"""The page of each rule: its example fires the rule, and what it says to use instead fires none."""

from __future__ import annotations

import re

import pytest

from airflow_mapping_kit.lint import pages
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
LOOKED_AT = [rule for rule in RULES.values() if rule.check is not None]


def found(code, wanted):
    findings, _ = of_source(Source("page.py", code.encode()), Settings(), wanted)
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
