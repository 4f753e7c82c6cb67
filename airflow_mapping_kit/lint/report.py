"""Findings as people and programs read them: text, JSON, SARIF, annotations of GitHub."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.sarif import sarif

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_mapping_kit.lint.findings import Finding, Place, Replacement

FORMATS = ("text", "json", "sarif", "github")
_AROUND = 1
_WIDEST = 160
_GITHUB = {"error": "error", "warning": "warning", "info": "notice"}


def written(
    findings: Sequence[Finding], form: str, fixes: Mapping[Finding, Sequence[Replacement]] | None = None
) -> str:
    """Return findings in one of the formats; of none that is nothing, or an empty document.

    :param fixes: how findings can be mended, which SARIF says.
    """
    if form == "json":
        return json.dumps([_as_json(one) for one in findings], indent=1)
    if form == "sarif":
        return json.dumps(sarif(findings, fixes or {}), indent=1)
    if form == "github":
        return "\n".join(map(_annotation, findings))
    return "\n\n".join("\n".join(_text(one)) for one in findings)


def statistics(findings: Iterable[Finding]) -> str:
    """Return how many findings each rule has, the commonest first."""
    counts = Counter(one.rule for one in findings)
    return "\n".join(
        f"{number:>6,}  {id_}  {RULES[id_].name}"
        for id_, number in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    )


def _text(one: Finding) -> Iterator[str]:
    place = one.place
    yield f"{place.path}:{place.line}:{place.column + 1} {one.rule} {one.message}."
    yield from _lines(place)
    yield f"  = {one.remedy}. (mapping-kit lint --explain {one.rule})"
    for other in one.related:
        yield f"  - {other.place.path}:{other.place.line}: {other.message}"


def _lines(place: Place) -> Iterator[str]:
    """Yield the line of a place with a caret, and one before and after it."""
    try:
        text = Path(place.path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    lines = text.split("\n")
    if place.end_column == 0 and place.line == 1:
        return  # the file as a whole
    first, last = max(place.line - _AROUND, 1), min(place.line + _AROUND, len(lines))
    width = len(str(last))
    for number in range(first, last + 1):
        line = lines[number - 1].rstrip("\r").expandtabs(1)
        yield f"  {number:>{width}} | {line[:_WIDEST]}"
        if number == place.line and place.column < _WIDEST:
            end = place.end_column if place.end_line == place.line else len(line)
            carets = max(min(end, len(line), _WIDEST) - place.column, 1)
            yield f"  {'':>{width}} | {' ' * place.column}{'^' * carets}"


def _as_json(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "name": RULES[one.rule].name,
        "severity": one.severity,
        **_place(one.place),
        "message": one.message,
        "remedy": one.remedy,
        "related": [{**_place(other.place), "message": other.message} for other in one.related],
        "fix": None if one.fix is None else {"safe": one.fix.safe},
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "path": place.path,
        "line": place.line,
        "column": place.column + 1,
        "end_line": place.end_line,
        "end_column": place.end_column + 1,
    }


def _annotation(one: Finding) -> str:
    place = one.place
    given = {
        "file": place.path,
        "line": place.line,
        "col": place.column + 1,
        "endLine": place.end_line,
        "title": f"{one.rule} {RULES[one.rule].name}",
    }
    values = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in given.items())
    return f"::{_GITHUB[one.severity]} {values}::{_escaped(f'{one.message}. {one.remedy}.')}"


def _escaped(text: str, others: str = "") -> str:
    """Return text as GitHub reads it in a command of a workflow."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for one in others:
        text = text.replace(one, f"%{ord(one):02X}")
    return text
