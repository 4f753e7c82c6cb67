"""Where a name comes from, as the dotted path that its import says: `airflow.operators.bash.BashOperator`."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.source import Source

# So often a name is followed to what it was set to.
_STEPS = 5
_BUILTINS = frozenset(vars(builtins))


def origin(source: Source, node: ast.AST | None, steps: int = _STEPS) -> str:
    """Return the dotted path of what an expression names, empty where nothing says.

    What the file itself defines is `.name`, with a dot in front; what is built in `builtins.name`.
    """
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    found = source.origins.get(node)
    if found is None:
        found = _of_name(source, node, steps)
        if steps == _STEPS:
            source.origins[node] = found
    return ".".join([found, *reversed(attributes)]) if found else ""


def bindings(source: Source, node: ast.Name) -> list[ast.AST]:
    """Return what gives a name its value, of the nearest scope that has it."""
    found = source.lookup(node)
    return found[1] if found else []


def value_of(source: Source, node: ast.AST | None) -> ast.AST | None:
    """Return the expression that a name was set to, where that is one and the same wherever it is read; else the node.

    `rows = extract()` and then `rows` gives the call.
    """
    for _ in range(_STEPS):
        if not isinstance(node, ast.Name):
            return node
        found = bindings(source, node)
        if len(found) != 1:
            return node
        given = assigned(source, found[0])
        if given is None:
            return node
        node = given
    return node


def opened(source: Source, node: ast.AST | None) -> ast.AST | None:
    """Return what a name was set to, or what a `with` opens under it: `with engine.connect() as connection`."""
    value = value_of(source, node)
    if isinstance(value, ast.Name):
        found = [source.parents.get(one) for one in bindings(source, value)]
        if len(found) == 1 and isinstance(found[0], ast.withitem):
            return found[0].context_expr
    return value


def assigned(source: Source, target: ast.AST) -> ast.expr | None:
    """Return the value of a plain assignment to a name, `None` where it is bound otherwise."""
    parent = source.parents.get(target)
    if isinstance(parent, ast.Assign) and any(target is one for one in parent.targets):
        return parent.value
    if isinstance(parent, ast.AnnAssign | ast.NamedExpr) and parent.target is target:
        return parent.value
    return None


def defined(
    source: Source, node: ast.AST | None
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """Return the function or the class of this file that a name stands for, if it is one."""
    if not isinstance(node, ast.Name):
        return None
    for one in reversed(bindings(source, node)):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return one
    return None


def _of_name(source: Source, node: ast.Name, steps: int) -> str:
    found = source.lookup(node)
    if found is None:
        if node.id in _BUILTINS:
            return f"builtins.{node.id}"
        return f"{source.star}.{node.id}" if source.star else ""
    # Of several (an import that falls back to another) the first that says anything.
    for one in found[1]:
        if isinstance(one, ast.alias):
            return import_of(source, one)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return f".{one.name}"
        given = assigned(source, one)
        if given is not None and steps:
            path = origin(source, given, steps - 1)
            if path:
                return path
    return ""


def import_of(source: Source, alias: ast.alias) -> str:
    """Return the dotted path of what a name of an import stands for."""
    statement = source.parents[alias]
    if isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
        return f"{module}{'' if module.endswith('.') else '.'}{alias.name}"
    return alias.name if alias.asname else alias.name.partition(".")[0]
