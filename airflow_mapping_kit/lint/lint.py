"""Looking at files: what the rules find in each, and in all together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint import noqa
from airflow_mapping_kit.lint.copies import copies
from airflow_mapping_kit.lint.findings import Finding, Place
from airflow_mapping_kit.lint.project import File
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.shapes import shape_of
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from airflow_mapping_kit.lint.config import Settings
    from airflow_mapping_kit.lint.shapes import Shape

COPIES = "MAP401"


@dataclass
class Result:
    """What came of looking.

    :param findings: sorted by file and place.
    :param files: how many files were looked at.
    :param unread: files that could not be read, and why.
    """

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)


def look(paths: Iterable[Path], settings: Settings) -> Result:
    """Return what the rules find in some files."""
    wanted = settings.wanted({id_: rule.on for id_, rule in RULES.items()})
    result, shapes = Result(), {}
    for path in paths:
        result.files += 1
        shown = str(path)
        try:
            source = Source.read(path, shown)
        except OSError as error:
            result.unread.append((shown, error.strerror or str(error)))
            continue
        except Unreadable as error:
            if "MAP000" in wanted and not settings.ignored(shown, "MAP000"):
                result.findings.append(unreadable(shown, error))
            continue
        if source is None or noqa.is_off(source):
            continue
        found, shape = of_source(source, settings, wanted)
        result.findings += found
        if shape is not None and not settings.ignored(shown, COPIES):
            shapes[shown] = shape
    if COPIES in wanted:
        result.findings += copies(shapes, environments=settings.environments)
    result.findings.sort(key=lambda one: (one.place, one.rule))
    return result


def of_source(source: Source, settings: Settings, wanted: set[str]) -> tuple[list[Finding], Shape | None]:
    """Return what the rules find in one file, and its shape, if it is to be compared with others."""
    file = File(source, settings)
    found: list[Finding] = []
    for id_, rule in RULES.items():
        if rule.check is None or id_ not in wanted or settings.ignored(source.path, id_):
            continue
        found += [one for one in rule.check(file) if not noqa.is_meant(source, one)]
    compared = COPIES in wanted and file.defines_dags and not file.is_test
    return found, shape_of(source) if compared else None


def unreadable(path: str, error: Unreadable) -> Finding:
    """Return the finding of a file that doesn't parse."""
    place = Place(path, error.line, error.column, error.line, error.column)
    return Finding(
        "MAP000",
        place,
        f"The file doesn't parse, so nothing in it was looked at: {error}",
        "Mend it, or leave it out: exclude = [...]",
        "warning",
    )
