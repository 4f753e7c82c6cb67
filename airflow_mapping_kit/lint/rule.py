"""A rule: its id, and the function that checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_mapping_kit.lint.findings import Finding, Severity
    from airflow_mapping_kit.lint.project import File


@dataclass(frozen=True)
class Rule:
    """A rule of the lint.

    :param id: `MAP` and three digits.
    :param name: words with hyphens.
    :param summary: what it finds, in one sentence.
    :param severity: the severity of its findings, unless a finding has another.
    :param on: whether it is on by default.
    :param check: yields its findings in a file; `None` for a rule that needs many files at once.
    """

    id: str
    name: str
    summary: str
    severity: Severity
    check: Callable[[File], Iterable[Finding]] | None
    on: bool = True
