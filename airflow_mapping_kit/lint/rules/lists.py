"""Cross products of a list with results of the same list: MAP105."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import assigned, bindings, defined
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

_STEPS = 20


def list_with_what_is_made_of_it(file: File) -> Iterator[Finding]:
    """Yield tasks that are mapped over a list and over results of the same list: this makes every pair."""
    for one in file.mapped:
        names = list(one.over)
        for name in names:
            other = next(
                (
                    each
                    for each in names
                    if each != name and _is_made_of(file, one.over[name], one.over[each])
                ),
                None,
            )
            if other is None:
                continue
            yield file.finding(
                "MAP105",
                one.call,
                f"expand({other}=..., {name}=...) creates an instance for every pair, but {name} is computed from the "
                f"values of {other}: N items give N × N instances, and each item meets the results of all others",
                f"Let the upstream task return both, {{{other!r}: ..., {name!r}: ...}}, and map over this with "
                "expand_kwargs. Or zip the two lists",
                severity="error",
                related=[file.related(one.over[name], f"{name} is computed from {other}")],
            )
            break


def _is_made_of(file: File, value: ast.expr, other: ast.expr) -> bool:
    """Tell whether a list is computed, by tasks, from the very list that another is."""
    wanted = _sources(file, other) | _sources(file, _before_map(file, other))
    if not wanted:
        return False
    waiting: list[ast.AST] = _given(file, value)
    for _ in range(_STEPS):
        if not waiting:
            return False
        one = waiting.pop()
        if _sources(file, one) & wanted:
            return True
        waiting += _given(file, one)
    return False


def _given(file: File, node: ast.AST) -> list[ast.AST]:
    """Return what a task that makes a list is given: of `f(a)` and `f.expand(x=a)` it is `a`."""
    value = _followed(file, node)
    while isinstance(value, ast.Attribute) and value.attr == "output":
        value = _followed(file, value.value)
    if not isinstance(value, ast.Call):
        return []
    before = _before_map(file, value)
    if before is not value:
        return [before]
    if isinstance(value.func, ast.Attribute) and value.func.attr in {"expand"}:
        return [keyword.value for keyword in value.keywords]
    # A call of a task; other functions run while the file is parsed.
    function = defined(file.source, value.func)
    if function is None or file.reaches.kind(function) != "task":
        return []
    return [*value.args, *(keyword.value for keyword in value.keywords)]


def _before_map(file: File, node: ast.AST) -> ast.AST:
    """Return the list of which `a.map(f)` changes each item, another node as it is."""
    value = _followed(file, node)
    is_map = (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "map"
    )
    return value.func.value if is_map else node  # type: ignore[attr-defined]


def _followed(file: File, node: ast.AST) -> ast.AST:
    for _ in range(5):
        if not isinstance(node, ast.Name):
            return node
        found = bindings(file.source, node)
        given = assigned(file.source, found[0]) if len(found) == 1 else None
        if given is None:
            return node
        node = given
    return node


def _sources(file: File, node: ast.AST) -> set[ast.AST]:
    """Return what identifies a list: the call that makes it, or the name that is bound to it."""
    value = _followed(file, node)
    while isinstance(value, ast.Attribute) and value.attr == "output":
        value = _followed(file, value.value)
    if isinstance(value, ast.Name):
        found = bindings(file.source, value)
        return {found[0]} if len(found) == 1 else set()
    return {value} if isinstance(value, ast.Call | ast.List) else set()


RULES = (
    Rule(
        "MAP105",
        "cross-product-of-one-list",
        "A task is mapped over a list and over results computed from the same list.",
        "error",
        list_with_what_is_made_of_it,
    ),
)
