"""Fix findings, file by file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint import edits
from airflow_mapping_kit.lint.findings import Place, Replacement
from airflow_mapping_kit.lint.lint import Result, of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mapping_kit.lint.config import Settings
    from airflow_mapping_kit.lint.findings import Finding


@dataclass
class Mended:
    """The result of fixing.

    :param left: findings that are left, and files that could not be written.
    :param number: how many findings were fixed.
    :param diff: what changed, as `diff -u` shows it.
    """

    left: Result
    number: int = 0
    diff: str = ""


def mend(result: Result, settings: Settings, *, unsafe: bool, write: bool) -> Mended:
    """Fix the findings that can be fixed in their files.

    :param unsafe: whether a fix may change what the DAG does.
    :param write: whether files are written.
    """
    by_path: dict[str, set[str]] = {}
    for one in result.findings:
        if one.fix is not None and (one.fix.safe or unsafe):
            by_path.setdefault(one.place.path, set()).add(one.rule)
    mended = Mended(replace(result, findings=list(result.findings), unread=list(result.unread)))
    look = _look(settings)
    for path, rules in by_path.items():
        try:
            before = Source(path, Path(path).read_bytes())
            after, done = edits.fixed(before, sorted(rules), look)
            if done and write:
                edits.write(Path(path), after)
        except (OSError, Unreadable) as error:
            mended.left.unread.append((path, getattr(error, "strerror", None) or str(error)))
            continue
        if not done:
            continue
        mended.number += len(done)
        mended.diff += "".join(_diff(path, before, after))
        others = [
            one for one in mended.left.findings if one.place.path != path or RULES[one.rule].check is None
        ]
        mended.left.findings = sorted([*others, *look(after)], key=lambda one: (one.place, one.rule))
    return mended


def replacements(findings: Sequence[Finding], settings: Settings) -> dict[Finding, list[Replacement]]:
    """Return the fixes of findings that change nothing else."""
    found: dict[Finding, list[Replacement]] = {}
    look = _look(settings)
    for path, group in groupby((one for one in findings if one.fix is not None), lambda one: one.place.path):
        try:
            source = Source(path, Path(path).read_bytes())
        except (OSError, Unreadable):
            continue
        for one in group:
            made = edits.checked(source, one, look)
            if made is not None:
                found[one] = [
                    Replacement(Place(path, *source.at(edit.start), *source.at(edit.end)), edit.text)
                    for edit in made
                ]
    return found


def _look(settings: Settings) -> Callable[[Source], Sequence[Finding]]:
    """Return what looks at one file as the rules that are wanted do."""
    wanted = settings.wanted({id_: rule.on for id_, rule in RULES.items()}) - {"MAP401"}
    return lambda source: of_source(source, settings, wanted)


def _diff(path: str, before: Source, after: Source) -> list[str]:
    lines = difflib.unified_diff(before.lines, after.lines, fromfile=path, tofile=path)
    return [
        line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n" for line in lines
    ]
