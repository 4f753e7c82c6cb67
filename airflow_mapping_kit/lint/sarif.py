"""Findings as SARIF, which code scanning reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_mapping_kit import __version__
from airflow_mapping_kit.lint.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.lint.findings import Finding, Place, Replacement

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(findings: Sequence[Finding], fixes: Mapping[Finding, Sequence[Replacement]]) -> dict[str, Any]:
    """Return findings as SARIF 2.1.0, with how they can be mended where that is known."""
    ids = list(RULES)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mapping-kit lint",
                        "version": __version__,
                        "rules": [
                            {
                                "id": rule.id,
                                "name": rule.name,
                                "shortDescription": {"text": rule.summary},
                                "defaultConfiguration": {"level": _LEVELS[rule.severity], "enabled": rule.on},
                            }
                            for rule in RULES.values()
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    {
                        "ruleId": one.rule,
                        "ruleIndex": ids.index(one.rule),
                        "level": _LEVELS[one.severity],
                        "message": {"text": f"{one.message}. {one.remedy}."},
                        "locations": [_location(one.place)],
                        "relatedLocations": [
                            {"id": number, **_location(other.place), "message": {"text": other.message}}
                            for number, other in enumerate(one.related)
                        ],
                        **({"fixes": [_fix(one, fixes[one])]} if one in fixes else {}),
                    }
                    for one in findings
                ],
            }
        ],
    }


def _fix(finding: Finding, replacements: Sequence[Replacement]) -> dict[str, Any]:
    safe = finding.fix is not None and finding.fix.safe
    return {
        "description": {"text": finding.remedy + ("." if safe else ". This changes what the DAG does.")},
        "artifactChanges": [
            {
                "artifactLocation": _artifact(finding.place.path),
                "replacements": [
                    {"deletedRegion": _region(one.place), "insertedContent": {"text": one.text}}
                    for one in replacements
                ],
            }
        ],
    }


def _location(place: Place) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _artifact(place.path), "region": _region(place)}}


def _region(place: Place) -> dict[str, int]:
    return {
        "startLine": place.line,
        "startColumn": place.column + 1,
        "endLine": place.end_line,
        "endColumn": max(place.end_column + 1, place.column + 1 if place.line == place.end_line else 1),
    }


def _artifact(name: str) -> dict[str, str]:
    path = Path(name)
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix().removeprefix("./"))}
