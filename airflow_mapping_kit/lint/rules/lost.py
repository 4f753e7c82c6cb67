"""Items that get lost: MAP203."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.origins import origin
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.effects import works_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

_LOGS = frozenset(
    "print debug info warning warn error exception critical log write echo pprint capture_exception "
    "rollback".split()
)
_TEXTS = frozenset({"format", "format_exc", "join"})
_BROAD = frozenset({"builtins.Exception", "builtins.BaseException"})


def items_that_get_lost(file: File) -> Iterator[Finding]:
    """Yield loops over items in a task that log what fails and go on: the task is green, items are lost."""
    if file.is_test:
        return
    for attempt in file.source.all(ast.Try):
        if file.reaches.of(attempt) != Reach.TASK:
            continue
        loop = next(iter(loops_around(file.source, attempt)), None)
        if not isinstance(loop, ast.For | ast.AsyncFor) or _tries_alternatives(loop, attempt):
            continue
        names = variables(loop)
        handler = next((one for one in attempt.handlers if _is_broad(file, one)), None)
        if (
            handler is None
            or not _only_logs(file, loop, handler)
            or not works_with(file, attempt.body, names)
        ):
            continue
        if _is_counted(file, loop) or _is_looked_at(file, loop, attempt):
            continue
        yield file.finding(
            "MAP203",
            handler,
            "Whatever goes wrong with an item is logged, and the loop goes on: the task is green, and the item is lost",
            "Make the body a task of one item: @task.batched def work(item): ..., mapped over batches(items, "
            "batch_size=50), "
            "and collect(..., tolerated_failure_count=...)",
            related=[file.related(loop, "the loop over the items")],
        )


def _is_broad(file: File, handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(origin(file.source, one) in _BROAD for one in types)


def _only_logs(file: File, loop: ast.For | ast.AsyncFor, handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler does nothing with a failure but say it."""
    waiting: list[ast.stmt] = list(handler.body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.If):
            waiting += [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.Expr):
            if not _says(loop, statement.value):
                return False
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            if not _is_text_for_the_log(file, handler, statement):
                return False
        elif not isinstance(statement, ast.Pass | ast.Continue | ast.Import | ast.ImportFrom):
            return False
    return True


def _says(loop: ast.For | ast.AsyncFor, value: ast.expr) -> bool:
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
        isinstance(one, ast.Name)
        and one.id in names
        and isinstance(one.ctx, ast.Load)
        and id(one) not in inside
        for one in ast.walk(function)
    )


def _tries_alternatives(loop: ast.For | ast.AsyncFor, attempt: ast.Try) -> bool:
    """Tell whether a loop goes on until one of several ways works."""
    after = [*attempt.body, *attempt.orelse]
    inside = [node for statement in after for node in ast.walk(statement)]
    if any(isinstance(node, ast.Break | ast.Return) for node in inside):
        return True
    # The very next statements of the loop's body may leave it.
    at = next((number for number, line in enumerate(loop.body) if line is attempt), None)
    return at is not None and any(isinstance(line, ast.Break | ast.Return) for line in loop.body[at + 1 :])


def _is_counted(file: File, loop: ast.For | ast.AsyncFor) -> bool:
    """Tell whether what is worked on is counted against what there was, after the loop, by raising."""
    function = file.source.function_around(loop)
    if function is None or isinstance(function, ast.Lambda):
        return False
    end = loop.end_lineno or loop.lineno
    return any(
        isinstance(node, ast.Raise | ast.Assert) and node.lineno > end
        for node in ast.walk(function)
        if not isinstance(node, ast.Lambda)
    )


def _is_looked_at(file: File, loop: ast.For | ast.AsyncFor, attempt: ast.Try) -> bool:
    """Tell whether the turn itself notes what was done, and compares it with what there was."""
    function = file.source.function_around(loop)
    if function is None or isinstance(function, ast.Lambda):
        return False
    done = {
        one.target.id
        for statement in [*attempt.body, *attempt.orelse]
        for one in ast.walk(statement)
        if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name)
    }
    end = loop.end_lineno or loop.lineno
    return any(
        isinstance(one, ast.Compare) and one.lineno > end and reads(one, done) and not _is_zero(one)
        for one in ast.walk(function)
    )


def _is_zero(one: ast.Compare) -> bool:
    """Tell whether a comparison only asks whether there was anything: of some lost items that says nothing."""
    return all(isinstance(each, ast.Constant) and each.value == 0 for each in one.comparators)


RULES = (
    Rule(
        "MAP203",
        "items-get-lost",
        "A loop over items in a task only logs what fails.",
        "warning",
        items_that_get_lost,
    ),
)
