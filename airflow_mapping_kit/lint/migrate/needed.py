"""What code needs from its old module: imports, constants, functions. The rest is left out."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate.changes import Changes, extent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mapping_kit.lint.source import Source


def parsed(code: str) -> list[ast.stmt]:
    """Return the statements of code, whatever its indentation."""
    lines = [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return []
    if not lines[0][0].isspace():
        return ast.parse(code).body
    (block,) = ast.parse(f"if 1:\n{code}").body
    return block.body  # type: ignore[attr-defined,no-any-return]


def names(code: str) -> set[str]:
    """Return the names that code reads and doesn't define as functions."""
    tree = ast.Module(parsed(code), [])
    own = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    return names_of(tree) - own


def names_of(tree: ast.AST) -> set[str]:
    """Return the names that are read in a tree."""
    return {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}


def statements(source: Source, wanted: Iterable[str], without: Iterable[ast.AST]) -> list[ast.stmt]:
    """Return the statements of a module's top that code needs, in the order of the file.

    What only does something, such as `sys.path.append(...)`, stays.

    :param wanted: the names that the code reads.
    :param without: DAGs: they, and calls that make them, stay behind.
    """
    out = list(without)
    made = {getattr(one, "name", "") for one in out}
    body = [one for one in source.tree.body if not any(one is dag for dag in out) and not _is_of(one, made)]
    needed = set(wanted)
    while True:
        kept = [one for one in body if isinstance(one, ast.Expr) or needed & set(bound(one))]
        more = {name for one in kept for name in read(one, needed)}
        if more <= needed:
            return kept
        needed |= more


def bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module's top binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, ast.Try | ast.If | ast.With | ast.For | ast.While):
        for inner in _inner(statement):
            yield from bound(inner)
    else:
        for one in ast.walk(statement):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                yield one.id


def text(source: Source, statement: ast.stmt, needed: set[str]) -> str:
    """Return a statement with the comments above it, its imports without names that nothing needs."""
    changes = Changes(source)
    _shortened(changes, statement, needed)
    found = changes.text(*extent(source, statement))
    if isinstance(statement, ast.Try):
        # Where a function was left out, the empty lines around it stay.
        found = re.sub(r"\n\n+(?=except|else:|finally:)", "\n", found)
    apart = re.match(r"\n{0,2}", found)
    return (apart[0] if apart else "") + found.strip("\n") + "\n"


def read(statement: ast.stmt, needed: set[str]) -> set[str]:
    """Return the names that what is kept of a statement reads."""
    return {name for part in _parts(statement, needed) for name in names_of(part)}


def is_import(statement: ast.stmt) -> bool:
    """Tell whether a statement imports: by itself, or in a `try` or an `if`."""
    if isinstance(statement, ast.Try | ast.If):
        return any(is_import(one) for one in _inner(statement))
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _inner(statement: ast.stmt) -> list[ast.stmt]:
    blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    blocks += [one.body for one in getattr(statement, "handlers", [])]
    return [one for block in blocks for one in block]


def _parts(statement: ast.stmt, needed: set[str]) -> Iterator[ast.AST]:
    """Yield what is kept of a statement: of a `try` only what binds a name that is needed."""
    if not isinstance(statement, ast.Try):
        yield statement
        return
    for one in _inner(statement):
        if not set(bound(one)) or needed & set(bound(one)):
            yield one


def _shortened(changes: Changes, statement: ast.stmt, needed: set[str]) -> None:
    if isinstance(statement, ast.ImportFrom | ast.Import):
        kept = [one for one in statement.names if one.name == "*" or needed & set(bound_by(one))]
        if 0 < len(kept) < len(statement.names):
            listed = ", ".join(f"{one.name} as {one.asname}" if one.asname else one.name for one in kept)
            module = "." * getattr(statement, "level", 0) + (getattr(statement, "module", "") or "")
            changes.replace(statement, f"from {module} import {listed}" if module else f"import {listed}")
    elif isinstance(statement, ast.Try):
        blocks = [statement.body, *(one.body for one in statement.handlers)]
        unneeded = [
            [one for one in block if set(bound(one)) and not needed & set(bound(one))] for block in blocks
        ]
        for block, out in zip(blocks, unneeded, strict=True):
            for one in block:
                if one not in out:
                    _shortened(changes, one, needed)
                elif len(out) < len(block):
                    changes.leave_out(one)


def bound_by(alias: ast.alias) -> list[str]:
    """Return the name that an import binds."""
    return [alias.asname or alias.name.partition(".")[0]]


def _is_of(statement: ast.stmt, made: set[str]) -> bool:
    """Tell whether a statement makes a DAG of a function, or is only for the file as a program."""
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in made:
        return True
    if isinstance(statement, ast.If):
        return "__name__" in names_of(statement.test)
    return isinstance(value, ast.Constant) and isinstance(statement, ast.Expr)
