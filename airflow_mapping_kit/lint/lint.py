"""Check files: what the rules find in each file, and in all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint import noqa
from airflow_mapping_kit.lint.copies import copies, copies_within, outline
from airflow_mapping_kit.lint.findings import Finding, Place
from airflow_mapping_kit.lint.modules import file_of
from airflow_mapping_kit.lint.project import File
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.shapes import shape_of, shapes_of_dags
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.lint.config import Settings
    from airflow_mapping_kit.lint.shapes import Shape

COPIES = "MAP401"


@dataclass
class Result:
    """The result of a check.

    :param findings: sorted by file and place.
    :param files: how many files were checked.
    :param unread: files that could not be read, and why.
    """

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)


def look(paths: Iterable[Path], settings: Settings) -> Result:
    """Return what the rules find in some files."""
    wanted = settings.wanted({id_: rule.on for id_, rule in RULES.items()})
    result, outlines = Result(), {}
    by_file: dict[Path, str] = {}
    noted: list[tuple[str, str, Reach]] = []
    for path in paths:
        result.files += 1
        shown = str(path)
        by_file[path.resolve()] = shown
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
        file = File(source, settings)
        result.findings += findings(file, wanted)
        if (
            COPIES in wanted
            and file.defines_dags
            and not file.is_test
            and not settings.ignored(shown, COPIES)
        ):
            outlines[shown] = outline(shape_of(source))
            within = copies_within(shown, shapes_of_dags(source))
            result.findings += [one for one in within if not noqa.is_meant(source, one)]
        noted += [(shown, dotted, reach) for dotted, reach in file.reaches.elsewhere.items()]
    for path, handed in _handed(noted).items():
        if path in by_file:
            result.findings = _again(by_file[path], handed, settings, wanted, result.findings)
    if COPIES in wanted:
        result.findings += copies(outlines, _shape, environments=settings.environments)
    result.findings.sort(key=lambda one: (one.place, one.rule))
    return result


def _shape(shown: str) -> Shape | None:
    """Return the shape of a file again: that of all of them would be much to keep."""
    try:
        return shape_of(Source(shown, Path(shown).read_bytes()))
    except (OSError, Unreadable):
        return None


def _handed(noted: list[tuple[str, str, Reach]]) -> dict[Path, dict[str, Reach]]:
    """Return which functions of other files of the project files have run, and where.

    What is only called while files are parsed is looked for where a task calls of the same module, too.
    """
    in_tasks = {
        dotted.rpartition(".")[0].rpartition(".")[2] for _, dotted, reach in noted if reach & Reach.TASK
    }
    found: dict[Path, dict[str, Reach]] = {}
    for importer, dotted, reach in noted:
        module = dotted.rpartition(".")[0].rpartition(".")[2]
        file = file_of(importer, dotted) if module in in_tasks else None
        if file is not None:
            names = found.setdefault(file[0], {})
            names[file[1]] = names.get(file[1], Reach.NOWHERE) | reach
    return {
        path: names for path, names in found.items() if any(reach & Reach.TASK for reach in names.values())
    }


def _again(
    shown: str, handed: dict[str, Reach], settings: Settings, wanted: set[str], found: list[Finding]
) -> list[Finding]:
    """Return the findings with those of a file, now that it is known where other files have its functions run."""
    try:
        source = Source(shown, Path(shown).read_bytes())
    except (OSError, Unreadable):
        return found
    file = File(source, settings, handed)
    if noqa.is_off(source) or not any(file.reaches.has(name) for name in handed):
        return found
    return [one for one in found if one.place.path != shown] + findings(file, wanted)


def of_source(source: Source, settings: Settings, wanted: set[str]) -> list[Finding]:
    """Return what the rules find in one file."""
    return findings(File(source, settings), wanted)


def findings(file: File, wanted: set[str]) -> list[Finding]:
    """Return what the rules find in one file, of which it may be known where others have its functions run."""
    found: list[Finding] = []
    for id_, rule in RULES.items():
        if rule.check is None or id_ not in wanted or file.settings.ignored(file.source.path, id_):
            continue
        found += [one for one in rule.check(file) if not noqa.is_meant(file.source, one)]
    return found


def unreadable(path: str, error: Unreadable) -> Finding:
    """Return the finding of a file that doesn't parse."""
    place = Place(path, error.line, error.column, error.line, error.column)
    return Finding(
        "MAP000",
        place,
        f"The file doesn't parse, so the lint checked nothing in it: {error}",
        "Correct it, or exclude it: exclude = [...]",
        "warning",
    )
