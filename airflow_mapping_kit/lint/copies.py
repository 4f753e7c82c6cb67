"""Files that are copies of one another: MAP401."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.lint.findings import Finding, Place, Related
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_mapping_kit.lint.shapes import Shape

_SHINGLE = 5
_PLACES = 2**18
# So alike, and so long: what is shorter shares the frame that all short DAGs have.
_ALIKE, _LONG = 0.95, 150
_NEARLY_ALIKE, _VERY_LONG = 0.90, 400
_MOST_VALUES = 6
_SHOWN = 10


class Outline(NamedTuple):
    """A short outline of a file, or of a DAG, to find its copies: short, because all files are compared with all.

    :param shingles: each five tokens in a row, as a number.
    :param tokens: all of them, as a number.
    :param number: how many tokens there are.
    :param lines: how many lines.
    :param line: where it begins.
    """

    shingles: array[int]
    tokens: int
    number: int
    lines: int
    line: int


def outline(shape: Shape) -> Outline:
    """Return the outline of a shape."""
    rows = shape.tokens
    shingles = {hash(rows[at : at + _SHINGLE]) for at in range(len(rows) - _SHINGLE + 1)}
    return Outline(array("q", shingles), hash(rows), len(rows), shape.lines, shape.line)


def copies_within(path: str, dags: Mapping[int, Shape]) -> list[Finding]:
    """Return a finding for each group of DAGs in one file that are copies of one another."""
    shapes = {f"{path}:{line}": shape for line, shape in dags.items()}
    outlines = {path: outline(shape) for path, shape in shapes.items()}
    return copies(outlines, shapes.get, what="DAGs of this file")


def copies(
    outlines: Mapping[str, Outline],
    shape: Callable[[str], Shape | None],
    *,
    environments: Iterable[str] = (),
    what: str = "files",
) -> list[Finding]:
    """Return a finding for each group of files that are copies of one another, with their differences.

    :param outlines: those of files that define DAGs, by path; of DAGs of one file, by path and line.
    :param shape: gives the shape of one of them again, `None` where it is no longer to be had.
    :param environments: names of folders whose files are copies by intention: `["dev", "prod"]`.
    :param what: what they are.
    """
    found = []
    for family in _families(outlines, set(environments)):
        lines = sorted({outlines[path].lines for path in family})
        long = f"{lines[0]:,} lines each" if len(lines) == 1 else f"{lines[0]:,} to {lines[-1]:,} lines"
        aligned = len({outlines[path].tokens for path in family}) == 1
        differences = _differences([shape(path) for path in family] if aligned else [])
        message = f"{len(family)} {what}, {long}, are copies of one another"
        if differences:
            names = list(differences)
            shown = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
            message += f", and differ in {shown}"
        related = tuple(
            Related(_place(path, outlines[path]), _table(differences, number, path))
            for number, path in enumerate(family)
            if number
        )
        found.append(
            Finding(
                "MAP401",
                _place(family[0], outlines[family[0]]),
                message,
                _remedy(differences),
                "warning",
                related[:_SHOWN],
            )
        )
    return found


def _place(path: str, shape: Outline) -> Place:
    return Place(path.removesuffix(f":{shape.line}"), shape.line, 0, shape.line, 0)


def _families(outlines: Mapping[str, Outline], environments: set[str]) -> list[list[str]]:
    sets = {path: one.shingles for path, one in sorted(outlines.items()) if one.number >= _LONG}
    family: dict[str, str] = {path: path for path in sets}

    def root(path: str) -> str:
        while family[path] != path:
            family[path] = family[family[path]]
            path = family[path]
        return path

    for one, other in _pairs(sets):
        if _without(one, environments) != _without(other, environments) or one == other:
            family[root(other)] = root(one)
    members: dict[str, list[str]] = defaultdict(list)
    for path in sets:
        members[root(path)].append(path)
    return [sorted(paths) for _, paths in sorted(members.items()) if len(paths) > 1]


def _pairs(sets: Mapping[str, array[int]]) -> Iterable[tuple[str, str]]:
    """Yield the pairs that are alike.

    Of each set only its rarest shingles are looked up: two that are alike share one. How rare they are is counted in
    so many places, however many shingles there are: two that share a place are both taken for commoner than they are.
    """
    number = array("L", [0]) * _PLACES
    for each in sets.values():
        for shingle in each:
            number[shingle % _PLACES] += 1
    holders: dict[int, list[str]] = defaultdict(list)
    by_size = sorted(sets, key=lambda path: (len(sets[path]), path))
    for path in by_size:
        mine = frozenset(sets[path])
        prefix = sorted(mine, key=lambda shingle: (number[shingle % _PLACES], shingle))
        prefix = prefix[: len(mine) - math.ceil(_NEARLY_ALIKE * len(mine)) + 1]
        seen: set[str] = set()
        for shingle in prefix:
            for other in holders[shingle]:
                if other not in seen:
                    seen.add(other)
                    if _are_alike(mine, sets[other]):
                        yield other, path
            holders[shingle].append(path)


def _are_alike(one: frozenset[int], other: array[int]) -> bool:
    if len(other) < _NEARLY_ALIKE * len(one):
        return False
    shared = len(one.intersection(other))
    alike = shared / (len(one) + len(other) - shared)
    return alike >= _ALIKE or (alike >= _NEARLY_ALIKE and len(other) >= _VERY_LONG)


def _without(path: str, environments: set[str]) -> tuple[str, ...]:
    return tuple(part for part in PurePath(path).parts if part not in environments)


def _differences(family: Sequence[Shape | None]) -> dict[str, list[str]]:
    """Return what files of one shape differ in: of each name its value in each; nothing of what is no longer there."""
    shapes = [one for one in family if one is not None]
    if len(shapes) != len(family) or len({one.tokens for one in shapes}) > 1:
        return {}
    found: dict[str, list[str]] = {}
    for aligned in zip(*(one.values for one in shapes), strict=True):
        texts = [value.text for value in aligned]
        if len(set(texts)) == 1:
            continue
        name = aligned[0].name or f"line {aligned[0].line}"
        if texts in found.values():
            continue  # the same word once more, such as the name of the DAG
        while name in found:
            name += "'"
        found[name] = texts
    return found if len(found) <= _MOST_VALUES else {}


def _table(differences: Mapping[str, list[str]], number: int, path: str) -> str:
    values = ", ".join(f"{name}={_short(texts[number])}" for name, texts in differences.items())
    return f"{path}: {values}" if values else f"a copy: {path}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."  # noqa: PLR2004


def _remedy(differences: Mapping[str, list[str]]) -> str:
    times = {"schedule", "schedule_interval", "start_date", "catchup"}
    if differences and times & set(differences):
        return "Keep one DAG. Use reload_params(...) to load days again, and map over the other differences"
    return "Keep one DAG, and map over the differences: make them dimensions of its partitions"


RULES = (Rule("MAP401", "copied-dags", "DAG files are copies of one another.", "warning", None),)
