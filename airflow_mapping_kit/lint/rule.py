"""What is looked for: a rule, its id, and the function that looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_mapping_kit.lint.findings import Finding, Severity
    from airflow_mapping_kit.lint.project import File


@dataclass(frozen=True)
class Rule:
    """What is looked for.

    :param id: `MAP` and three digits.
    :param name: words with hyphens.
    :param summary: what it finds, in one sentence.
    :param severity: of its findings, unless one says otherwise.
    :param on: whether it looks unless it is told not to.
    :param check: yields what it finds in a file; `None` of a rule that looks at many files together.
    """

    id: str
    name: str
    summary: str
    severity: Severity
    check: Callable[[File], Iterable[Finding]] | None
    on: bool = True
