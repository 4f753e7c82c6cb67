"""Results that move up, because others are missing: MAP201."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.groups import mapped_groups
from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.operators import Mapped, constant, keywords
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.order import behind_branches
from airflow_mapping_kit.lint.rules.pulled import read_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

_RUNS_ALL_THE_SAME = frozenset(
    "all_done all_done_min_one_success always one_success one_failed one_done none_failed_or_skipped dummy".split()
)
_CHAIN = frozenset({"override", "partial", "expand"})


def results_that_move_up(file: File) -> Iterator[Finding]:
    """Yield tasks that also run after failures, and read results of a mapped task: missing ones move the rest up."""
    by_call = {one.call: one for one in [*file.mapped, *_groups(file)]}
    skipped = behind_branches(file.source) if by_call else set()
    for call in file.source.all(ast.Call):
        # The last call of a chain speaks for all of it.
        above = file.source.parents[call]
        chained = isinstance(above, ast.Attribute) and above.attr in _CHAIN
        rule = None if chained else _rule_of(file, call)
        if rule is None:
            continue
        found = read_by(file, call, by_call)
        # What a branch skips is what the rule is for; batches keep the keys of their items.
        if found is None or found.call in skipped or _is_batched(file, call):
            continue
        if not _catches_all(file, found):
            name = found.name or "a mapped task"
            yield file.finding(
                "MAP201",
                call,
                f"This task has the trigger rule {rule!r} and reads the results of {name}: results of failed "
                "instances are missing, and the others move up, so they no longer belong to their items",
                f"Put collect({name}) between them, and read report['results']: it has a row for each piece, also for "
                "failed ones",
                related=[file.related(found.call, f"the mapped task {name}")],
            )


def _groups(file: File) -> Iterator[Mapped]:
    """Yield the task groups that a file maps, as if they were tasks: what is handed over is what each returns."""
    for call, function in mapped_groups(file.source, file.reaches):
        yield Mapped(call, "", function, {})


def _rule_of(file: File, call: ast.Call) -> str | None:
    """Return the trigger rule of the task that a call makes, where it is one that runs whatever failed."""
    given = keywords(call)
    rule = given.get("trigger_rule")
    function = None
    func: ast.AST = call.func
    while isinstance(func, ast.Call) or (isinstance(func, ast.Attribute) and func.attr in _CHAIN):
        if isinstance(func, ast.Call):
            rule = rule or keywords(func).get("trigger_rule")
            func = func.func
        else:
            func = func.value
    function = defined(file.source, func)
    if rule is None and function is not None:
        decorator = task_decorator(file.source, function)
        if decorator is not None and isinstance(decorator[1], ast.Call):
            rule = keywords(decorator[1]).get("trigger_rule")
    return _text_of(file, rule)


def _text_of(file: File, rule: ast.expr | None) -> str | None:
    value = value_of(file.source, rule)
    text = constant(value)
    if isinstance(value, ast.Attribute):  # TriggerRule.ALL_DONE
        text = value.attr.lower()
        if text == "value" and isinstance(value.value, ast.Attribute):
            text = value.value.attr.lower()
    return text if isinstance(text, str) and text in _RUNS_ALL_THE_SAME else None


def _catches_all(file: File, mapped: Mapped) -> bool:
    """Tell whether a mapped task returns what failed as well, so that nothing is missing."""
    if mapped.function is None:
        return False
    for attempt in ast.walk(mapped.function):
        if isinstance(attempt, ast.Try):
            for handler in attempt.handlers:
                broad = handler.type is None or origin(file.source, handler.type) == "builtins.Exception"
                last = handler.body[-1]
                if (
                    broad
                    and isinstance(last, ast.Return)
                    and constant(last.value) is None
                    and last.value is not None
                ):
                    return True
    return False


def _is_batched(file: File, call: ast.Call) -> bool:
    func: ast.AST = call.func
    while isinstance(func, ast.Attribute | ast.Call):
        func = func.value if isinstance(func, ast.Attribute) else func.func
    function = defined(file.source, func)
    decorator = None if function is None else task_decorator(file.source, function)
    return decorator is not None and decorator[0].rpartition(".")[2] == "batched"


RULES = (
    Rule(
        "MAP201",
        "results-move-up",
        "A task that also runs after failures reads the results of a mapped task.",
        "warning",
        results_that_move_up,
    ),
)
