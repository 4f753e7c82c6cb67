"""What is looked for, a group of rules a module."""

from __future__ import annotations

from airflow_mapping_kit.lint import copies
from airflow_mapping_kit.lint.findings import Rule
from airflow_mapping_kit.lint.rules import inside, lists, lost, parsing, runs, templates

UNREADABLE = Rule("MAP000", "unreadable", "A file doesn't parse as Python.", "warning", None)

RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in sorted(
        (
            UNREADABLE,
            *runs.RULES,
            *inside.RULES,
            *templates.RULES,
            *lists.RULES,
            *parsing.RULES,
            *lost.RULES,
            *copies.RULES,
        ),
        key=lambda rule: rule.id,
    )
}
