"""Items that get lost in a loop: MAP203."""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import loops_around, variables
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.effects import works_with
from airflow_mapping_kit.lint.rules.handlers import is_broad, only_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File


def items_that_get_lost(file: File) -> Iterator[Finding]:
    """Yield loops over items in a task that only log failures: the task succeeds, and items are lost."""
    if file.is_test:
        return
    for attempt in file.source.all(ast.Try):
        if file.reaches.of(attempt) != Reach.TASK:
            continue
        loop = next(iter(loops_around(file.source, attempt)), None)
        if not isinstance(loop, ast.For | ast.AsyncFor) or _tries_alternatives(loop, attempt):
            continue
        names = variables(loop)
        handler = next((one for one in attempt.handlers if is_broad(file, one)), None)
        if handler is None or not only_logs(file, loop, handler) or not works_with(file, attempt.body, names):
            continue
        if _is_counted(file, loop) or _is_looked_at(file, loop, attempt):
            continue
        yield file.finding(
            "MAP203",
            handler,
            "If an item fails, the loop only logs it and goes on: the task succeeds, and the item is lost",
            "Put the body of the loop into a task for one item: @task.batched def work(item): ... Map it over "
            "batches(items, batch_size=50), and let collect(..., tolerated_failure_count=...) report the failures",
            related=[file.related(loop, "the loop over the items")],
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
    if function is None:
        return False
    inside, end = file.source.inside(function), loop.end_lineno or loop.lineno
    # From the last one on: most come after the loop.
    raised = [*inside.get(ast.Raise, ()), *inside.get(ast.Assert, ())][::-1]
    return any(node.lineno > end and not _says_nothing_of_it(file, node) for node in raised)


def _says_nothing_of_it(file: File, node: ast.AST) -> bool:
    """Tell whether it is raised because of something else, or only where nothing worked at all."""
    inside = node
    for around in file.source.above(node):
        if isinstance(around, ast.ExceptHandler):
            return True
        if isinstance(around, ast.If) and inside in around.body and _asks_for_any(around.test):
            return True
        if isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        inside = around
    return False


def _asks_for_any(test: ast.expr) -> bool:
    """Tell whether a test is `not rows`, `len(rows) == 0`, `rows is None` or `df.empty`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return all(_asks_for_any(one) for one in test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Name | ast.Attribute)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        other = test.comparators[0]
        return isinstance(test.ops[0], ast.Eq | ast.Is) and (
            isinstance(other, ast.Constant) and other.value in (0, None)
        )
    return isinstance(test, ast.Attribute) and test.attr == "empty"


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
    uses = (one for name in done for one in file.source.inside(function).get(name, ()))
    return any(one.lineno > end and _is_compared(file, one) for one in uses)  # type: ignore[attr-defined]


def _is_compared(file: File, name: ast.AST) -> bool:
    """Tell whether a name is part of a comparison, with anything but zero."""
    around = itertools.takewhile(lambda one: not isinstance(one, ast.stmt), file.source.above(name))
    return any(isinstance(one, ast.Compare) and not _is_zero(one) for one in around)


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
