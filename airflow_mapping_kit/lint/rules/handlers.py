"""What a handler does with an exception: log it, count it, keep it, or raise it again."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.project import File

    Loop = ast.For | ast.AsyncFor

_LOGS = frozenset(
    "print debug info warning warn error exception critical log write echo pprint capture_exception "
    "rollback".split()
)
_TEXTS = frozenset({"format", "format_exc", "join"})
_BROAD = frozenset({"builtins.Exception", "builtins.BaseException"})
_KEEPS = frozenset({"append", "add"})


def is_broad(file: File, handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches all exceptions."""
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(origin(file.source, one) in _BROAD for one in types)


def only_logs(file: File, loop: Loop, handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler only logs a failure, in the loop or after it."""
    waiting: list[ast.stmt] = list(handler.body)
    kept: set[str] = set()
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.If):
            waiting += [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            if not _is_text_for_the_log(file, handler, statement):
                return False
        elif (name := _kept_under(statement)) is not None:
            kept.add(name)
        elif isinstance(statement, ast.Expr):
            if not _says(loop, statement.value):
                return False
        elif not isinstance(statement, ast.Pass | ast.Continue | ast.Import | ast.ImportFrom):
            return False
    return all(_is_only_said(file, loop, name) for name in kept)


def _kept_under(statement: ast.stmt) -> str | None:
    """Return the name under which failures are counted, or kept: `lost += 1`, `lost.append(order)`."""
    if isinstance(statement, ast.AugAssign):
        target = statement.target
        held = target.value if isinstance(target, ast.Subscript) else target
        return held.id if isinstance(held, ast.Name) else None
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _KEEPS:
        return call.func.value.id if isinstance(call.func.value, ast.Name) else None
    return None


def _is_only_said(file: File, loop: Loop, name: str) -> bool:
    """Tell whether of what is counted nothing comes but a line in the log."""
    function = file.source.function_around(loop)
    if function is None:
        return False
    found = file.said.get((function, name))
    if found is None:
        found = all(_is_said(file, one) for one in file.source.inside(function).get(name, ()))
        file.said[function, name] = found
    return found


def _is_said(file: File, name: ast.AST) -> bool:
    """Tell whether a name is set there, counted up, or part of what is logged."""
    if isinstance(name, ast.Name) and not isinstance(name.ctx, ast.Load):
        return isinstance(file.source.parents[name], ast.Assign | ast.AnnAssign | ast.AugAssign)
    inside: ast.AST = name
    for around in file.source.above(name):
        if isinstance(around, ast.Call) and (_is_log(around) or (_kept_by(around) and inside is around.func)):
            return True
        if isinstance(around, ast.AugAssign):
            return inside is around.target
        if isinstance(around, ast.If) and inside is around.test:
            return all(
                isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) and _is_log(one.value)
                for one in [*around.body, *around.orelse]
            )
        if isinstance(around, ast.stmt):
            return False
        inside = around
    return False


def _kept_by(call: ast.Call) -> bool:
    return getattr(call.func, "attr", "") in _KEEPS


def _is_log(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name in _LOGS - {"write", "rollback"}


def _says(loop: Loop, value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return isinstance(value, ast.Constant)
    name = getattr(value.func, "attr", getattr(value.func, "id", ""))
    # Who waits in a loop over numbers tries again.
    tries = isinstance(loop.iter, ast.Call) and getattr(loop.iter.func, "id", "") == "range"
    # print_ too: what `traceback` has.
    return name in _LOGS or name.startswith("print_") or (name == "sleep" and not tries)


def _is_text_for_the_log(
    file: File, handler: ast.ExceptHandler, statement: ast.Assign | ast.AnnAssign
) -> bool:
    """Tell whether what a handler sets is text that it alone reads."""
    value = statement.value
    is_text = isinstance(value, ast.JoinedStr | ast.Constant) or (
        isinstance(value, ast.Call)
        and (origin(file.source, value.func) == "builtins.str" or getattr(value.func, "attr", "") in _TEXTS)
    )
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    function = file.source.function_around(handler)
    if not is_text or function is None or not all(isinstance(one, ast.Name) for one in targets):
        return False
    names = {one.id for one in targets if isinstance(one, ast.Name)}
    inside = {id(one) for one in ast.walk(handler)}
    return not any(
        isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and id(one) not in inside
        for name in names
        for one in file.source.inside(function).get(name, ())
    )
