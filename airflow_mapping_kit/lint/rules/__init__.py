"""The rules, a module for each group."""

from __future__ import annotations

from airflow_mapping_kit.lint import copies
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules import (
    deletes,
    destinations,
    executed,
    imports,
    inside,
    labels,
    lists,
    lost,
    moved,
    parsing,
    runs,
    templates,
    waiting,
)

UNREADABLE = Rule("MAP000", "unreadable", "A file doesn't parse as Python.", "warning", None)

RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in sorted(
        (
            UNREADABLE,
            *copies.RULES,
            *deletes.RULES,
            *destinations.RULES,
            *executed.RULES,
            *imports.RULES,
            *inside.RULES,
            *labels.RULES,
            *lists.RULES,
            *lost.RULES,
            *moved.RULES,
            *parsing.RULES,
            *runs.RULES,
            *templates.RULES,
            *waiting.RULES,
        ),
        key=lambda rule: rule.id,
    )
}
