"""Comments that say that something is intended: `# noqa: MAP001`, `# noqa`, and `# mapping-kit: off` for a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.source import Source

_NOQA = re.compile(r"#\s*noqa(?:\s*:\s*(?P<ids>[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*))?", re.IGNORECASE)
_OFF = re.compile(r"^\s*#\s*mapping-kit:\s*off\s*$", re.MULTILINE | re.IGNORECASE)


def is_off(source: Source) -> bool:
    """Tell whether a file switches the lint off."""
    return "mapping-kit" in source.text and _OFF.search(source.text) is not None


def is_meant(source: Source, finding: Finding) -> bool:
    """Tell whether the first or last line of a finding says that it is intended."""
    return any(
        _says(source.lines[line - 1], finding.rule)
        for line in {finding.place.line, finding.place.end_line}
        if line <= len(source.lines)
    )


def _says(line: str, rule: str) -> bool:
    if "noqa" not in line.lower():
        return False
    for match in _NOQA.finditer(line):
        ids = match["ids"]
        if ids is None or rule in re.split(r"[\s,]+", ids.upper()):
            return True
    return False
