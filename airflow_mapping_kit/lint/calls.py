"""Which function of a file a call calls, and which it hands on to be called."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

from airflow_mapping_kit.lint.origins import defined, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.source import Source

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
# What calls the function that it is given: `map`, threads, processes.
MAPS = frozenset({"map", "imap", "imap_unordered", "starmap", "map_async"})
SUBMITS = frozenset({"submit", "apply_async", "run_in_executor", "to_thread"})


def function_of(source: Source, node: ast.AST | None) -> Function | None:
    """Return the function of this file that an expression stands for: by its name, as a method, of an object."""
    if isinstance(node, ast.Attribute):
        return _method(source, node)
    found = defined(source, node)
    return None if isinstance(found, ast.ClassDef) else found


def handed_on(source: Source, call: ast.Call) -> Iterator[tuple[int, Function]]:
    """Yield the functions that a call hands on to be called, and the number of each one's argument."""
    if _name(call) in MAPS | SUBMITS:
        for at, one in enumerate(call.args[:2]):
            function = function_of(source, one)
            if function is not None:
                yield at, function


def calls_of(source: Source, function: Function) -> Iterator[tuple[ast.Call, dict[str, ast.expr] | None]]:
    """Yield the calls of a function, and by argument what it is given: `None` where it is called with each item."""
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
    for call in source.all(ast.Call):
        at = next((at for at, one in handed_on(source, call) if one is function), None)
        if at is None and function_of(source, call.func) is not function:
            continue
        if at is not None and _name(call) in MAPS:
            yield call, None
            continue
        given = call.args if at is None else call.args[at + 1 :]
        own = names[1:] if names[:1] in (["self"], ["cls"]) else names
        values = dict(zip(own, given, strict=False))
        values |= {str(number): one for number, one in enumerate(given[len(own) :])}
        yield call, values | {keyword.arg or "**": keyword.value for keyword in call.keywords}


def _method(source: Source, node: ast.Attribute) -> Function | None:
    """Return the method that `self.name`, `Class.name` or `Class(...).name` stands for."""
    if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
        class_: ast.AST | None = next(
            (one for one in source.above(node) if isinstance(one, ast.ClassDef)), None
        )
    else:
        of = value_of(source, node.value)
        class_ = defined(source, of.func if isinstance(of, ast.Call) else of)
    if not isinstance(class_, ast.ClassDef):
        return None
    methods = (one for one in class_.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((one for one in methods if one.name == node.attr), None)


def _name(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))
