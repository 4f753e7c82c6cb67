"""The page of each rule: what it finds, why that is bad, an example, and what to write instead."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.rule import Rule


def text(rule: Rule) -> str:
    """Return the page of a rule, in Markdown."""
    return (
        (files("airflow_mapping_kit.lint") / "pages" / f"{rule.id}.md").read_text(encoding="utf-8").rstrip()
    )
