"""Changing a file by position: all else stays to the byte, and a change that does more than it says is refused."""

from __future__ import annotations

import ast
import itertools
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.lint.findings import Edit
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_mapping_kit.lint.findings import Finding, Fix


def fixed(
    source: Source, rules: Iterable[str], look: Callable[[Source], Sequence[Finding]]
) -> tuple[Source, list[Finding]]:
    """Return a file with the fixable findings of some rules fixed, and the edits.

    :param look: what the rules find in a file: what was mended must not be found again, and nothing else instead.
    """
    mended: list[Finding] = []
    for rule in rules:
        found = [one for one in _of_rule(source, rule, look) if one.fix is not None]
        changed = _mended(source, found, look)
        if changed is not None:
            source, _ = changed
            mended += found
            continue
        # From the last one on: places move when something is mended, the order stays.
        for number in reversed(range(len(_of_rule(source, rule, look)))):
            left = _of_rule(source, rule, look)[number : number + 1]
            changed = _mended(source, left, look)
            if changed is not None:
                source, _ = changed
                mended += left
    return source, mended


def _of_rule(source: Source, rule: str, look: Callable[[Source], Sequence[Finding]]) -> list[Finding]:
    return sorted((one for one in look(source) if one.rule == rule), key=lambda one: one.place)


def write(path: Path, source: Source) -> None:
    """Write a file, all of it or nothing.

    :raises OSError: if it can't be written.
    """
    mode = path.stat().st_mode
    if not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))
    target = path.resolve()  # a link stays one
    handle, unfinished = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encoded(source))
        Path(unfinished).chmod(mode)
        Path(unfinished).replace(target)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def encoded(source: Source) -> bytes:
    """Return the bytes of a file, in its own encoding."""
    return source.text.encode(source.encoding)


def checked(
    source: Source, finding: Finding, look: Callable[[Source], Sequence[Finding]]
) -> list[Edit] | None:
    """Return the edits that fix one finding and change nothing else, `None` if there are none."""
    made = _mended(source, [finding], look)
    return None if made is None else made[1]


def _mended(
    source: Source, findings: Sequence[Finding], look: Callable[[Source], Sequence[Finding]]
) -> tuple[Source, list[Edit]] | None:
    """Return the file with findings of one rule mended, and the edits; `None` where that is not possible."""
    edits = _together(source, [one.fix for one in findings])
    if not edits:
        return None
    text = source.text
    for edit in reversed(edits):
        text = text[: edit.start] + edit.text + text[edit.end :]
    try:
        changed = Source(source.path, text.encode(source.encoding))
    except (Unreadable, UnicodeEncodeError):
        return None
    if not _is_the_same_but(source, changed, edits):
        return None
    before, after = Counter(one.rule for one in look(source)), Counter(one.rule for one in look(changed))
    rule = findings[0].rule
    if set(after) - set(before) or after[rule] != before[rule] - len(findings):
        return None
    return changed, edits


def _together(source: Source, fixes: Sequence[Fix | None]) -> list[Edit] | None:
    """Return the edits of fixes in order, `None` where one of them can't be made, or they get into one another."""
    found: set[Edit] = set()
    for fix in fixes:
        edits = None if fix is None else _with_imports(source, fix)
        if edits is None:
            return None
        found |= set(edits)
    ordered = sorted(found)
    apart = all(
        one.end <= other.start and one.start < other.start for one, other in itertools.pairwise(ordered)
    )
    return ordered if apart or len(fixes) == 1 else None


def _with_imports(source: Source, fix: Fix) -> list[Edit] | None:
    """Return the edits of a fix, those of its imports too, in order and with the line ends of the file."""
    edits = list(fix.edits)
    for module, name in fix.imports:
        if _is_imported(source, module, name):
            continue
        if name in source.scopes[source.tree].names:
            return None  # it is something else here
        edit = _import(source, module, name)
        if edit is None:
            return None
        edits.append(edit)
    newline = "\r\n" if "\r\n" in source.text else "\n"
    return sorted(edit._replace(text=edit.text.replace("\n", newline)) for edit in edits)


def _is_imported(source: Source, module: str, name: str) -> bool:
    return any(
        statement.module == module and not statement.level and alias.name == name and alias.asname is None
        for statement in source.tree.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    )


def _import(source: Source, module: str, name: str) -> Edit | None:
    """Return the edit that imports a name below the imports at the top of a file."""
    last: ast.stmt | None = None
    for statement in source.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            last = statement
        elif not (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and last is None
        ):
            break
    if last is None:
        return None
    _, end = source.span(last)
    rest = re.match(r"[^\r\n]*", source.text[end:])
    if rest is None or (rest[0].strip() and not rest[0].strip().startswith("#")):
        return None
    at = end + len(rest[0])
    return Edit(at, at, f"\nfrom {module} import {name}")


def _is_the_same_but(source: Source, changed: Source, edits: Sequence[Edit]) -> bool:
    """Tell whether two files have the same syntax tree but for nodes that the edits touch."""
    waiting: list[tuple[ast.AST, ast.AST]] = [(source.tree, changed.tree)]
    while waiting:
        old, new = waiting.pop()
        if _is_replaced(source, old, edits):
            continue
        if type(old) is not type(new):
            if not _is_touched(source, old, edits):
                return False
            continue
        touched = _is_touched(source, old, edits)
        for (name, mine), (_, its) in zip(ast.iter_fields(old), ast.iter_fields(new), strict=True):
            if isinstance(mine, list):
                pairs = _pairs(mine, its, touched=touched)
                if pairs is None:
                    return False
                waiting += pairs
            elif isinstance(mine, ast.AST) and isinstance(its, ast.AST):
                waiting.append((mine, its))
            elif mine != its and name != "kind" and not touched:
                return False
    return True


def _pairs(mine: list[Any], its: list[Any], *, touched: bool) -> list[tuple[ast.AST, ast.AST]] | None:
    """Return which nodes of two lists have to be the same, `None` where the lists differ without an edit."""
    if len(mine) != len(its):
        mine, its = _without_imports(mine), _without_imports(its)
    if len(mine) != len(its):
        return [] if touched and _adds_or_leaves_out(mine, its) else None
    if [one for one in mine if not isinstance(one, ast.AST)] != [
        one for one in its if not isinstance(one, ast.AST)
    ]:
        return None
    return [(a, b) for a, b in zip(mine, its, strict=True) if isinstance(a, ast.AST)]


def _without_imports(nodes: list[ast.AST]) -> list[ast.AST]:
    return [one for one in nodes if not isinstance(one, ast.Import | ast.ImportFrom)]


def _adds_or_leaves_out(mine: list[ast.AST], its: list[ast.AST]) -> bool:
    """Tell whether one list of nodes is the other without some."""
    try:
        short, long = sorted(([ast.dump(one) for one in mine], [ast.dump(one) for one in its]), key=len)
    except RecursionError:
        return False  # of code that is nested so deeply nobody knows
    rest = iter(long)
    return all(one in rest for one in short)


def _is_replaced(source: Source, node: ast.AST, edits: Sequence[Edit]) -> bool:
    if not isinstance(node, ast.expr):
        return False
    start, end = source.span(node)
    return any(edit.start <= start and end <= edit.end for edit in edits)


def _is_touched(source: Source, node: ast.AST, edits: Sequence[Edit]) -> bool:
    if not hasattr(node, "lineno"):
        return True
    start, end = source.span(node)
    return any(edit.start <= end and edit.end >= start for edit in edits)
