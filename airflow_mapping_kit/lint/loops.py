"""Loops, and what in them depends on the turn."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.source import Source

Loop: TypeAlias = "ast.For | ast.AsyncFor | ast.While | ast.comprehension"
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def loops_around(source: Source, node: ast.AST) -> Iterator[Loop]:
    """Yield the loops in whose turns a node is evaluated, from the inside out, within its function."""
    inside = node
    for around in source.above(node):
        if isinstance(around, _FUNCTIONS):
            return
        if isinstance(around, ast.For | ast.AsyncFor | ast.While):
            # What is looped over is evaluated once; what follows the loop as its `else` too.
            if any(inside is line for line in around.body) or (
                isinstance(around, ast.While) and inside is around.test
            ):
                yield around
        elif isinstance(around, _COMPREHENSIONS):
            generators = around.generators
            if not (isinstance(inside, ast.comprehension) and inside is generators[0]):
                yield from reversed(generators)
            elif not _is_first_iterable(source, node, inside):
                yield inside
        inside = around


def variables(loop: Loop) -> set[str]:
    """Return the names that a loop sets in each turn: its targets, and what is made of them in its body."""
    if isinstance(loop, ast.While):
        found: set[str] = set()
    else:
        found = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
    if isinstance(loop, ast.comprehension):
        return found
    # In two rounds: what is made of something that is made of the target.
    for _ in range(2):
        for statement in _statements(loop):
            for target in _set_by(statement, found, always=isinstance(loop, ast.While)):
                found |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found


def _set_by(statement: ast.stmt, names: set[str], *, always: bool) -> Iterator[ast.expr]:
    """Yield what a statement sets from what reads some names; by `always`, whatever it assigns."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        if statement.value is not None and (always or _reads(statement.value, names)):
            yield from statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    elif isinstance(statement, ast.For | ast.AsyncFor):
        if _reads(statement.iter, names):
            yield statement.target
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            if item.optional_vars is not None and _reads(item.context_expr, names):
                yield item.optional_vars


def _statements(loop: ast.For | ast.AsyncFor | ast.While) -> Iterator[ast.stmt]:
    waiting = list(reversed(loop.body))
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, _FUNCTIONS):
            continue
        for child in reversed(list(ast.iter_child_nodes(one))):
            if isinstance(child, ast.stmt):
                waiting.append(child)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                waiting += reversed(child.body)


def _reads(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in names for one in ast.walk(node))


def reads(node: ast.AST | None, names: set[str]) -> bool:
    """Tell whether an expression reads one of some names."""
    return node is not None and _reads(node, names)


def _is_first_iterable(source: Source, node: ast.AST, comprehension: ast.comprehension) -> bool:
    inside = node
    for around in source.above(node):
        if around is comprehension:
            return inside is comprehension.iter
        inside = around
    return node is comprehension.iter
