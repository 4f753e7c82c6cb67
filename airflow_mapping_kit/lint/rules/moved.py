"""Results that move up: MAP201."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

_RUNS_ALL_THE_SAME = frozenset(
    "all_done all_done_min_one_success always one_success one_failed one_done none_failed_or_skipped dummy".split()
)
_CHAIN = frozenset({"override", "partial", "expand"})


def results_that_move_up(file: File) -> Iterator[Finding]:
    """Yield tasks that run whatever failed, and read what a mapped task returned: what is missing moves the rest up."""
    by_call = {one.call: one for one in file.mapped}
    for call in file.source.all(ast.Call):
        rule = _rule_of(file, call)
        if rule is None:
            continue
        found = _read(file, call, by_call)
        # Batches keep the keys of their items.
        if found is not None and not _is_batched(file, call) and not _catches_all(file, found):
            name = found.name or "a mapped task"
            yield file.finding(
                "MAP201",
                call,
                f"This task runs under {rule!r} on what {name} returned: pieces that failed are missing in it, "
                "and all after "
                "them move up, so that results no longer belong to their items",
                f"Put collect({name}) between them, and read report['results']: a row a piece, those that failed too",
                related=[file.related(found.call, f"the mapped task {name}")],
            )


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


def _read(file: File, call: ast.Call, by_call: dict[ast.Call, Mapped]) -> Mapped | None:
    """Return the mapped task whose output a task is given or pulls."""
    read = _read_of(file, call)
    for value in _given(call):
        if read is not None and not any(value is one for one in read):
            continue
        found = value_of(file.source, value)
        if isinstance(found, ast.Attribute) and found.attr == "output":
            found = value_of(file.source, found.value)
        if isinstance(found, ast.Call) and found in by_call:
            return by_call[found]
    function = defined(file.source, call.func) or defined(file.source, keywords(call).get("python_callable"))
    ids = {_task_id(one): one for one in by_call.values()}
    pulls = () if function is None else (one for one in ast.walk(function) if isinstance(one, ast.Call))
    return next((ids[task_id] for task_id in map(_pulled, pulls) if task_id in ids), None)


def _read_of(file: File, call: ast.Call) -> list[ast.expr] | None:
    """Return which of a task's arguments its function reads, `None` of what is no function of this file.

    One that it doesn't only says what comes first.
    """
    function = defined(file.source, call.func)
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.args.vararg:
        return None
    read = {one.id for line in function.body for one in ast.walk(line) if isinstance(one, ast.Name)}
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
    given = [*zip(names, call.args, strict=False), *((one.arg, one.value) for one in call.keywords)]
    return [value for name, value in given if name in read or (function.args.kwarg and name not in names)]


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


def _pulled(call: ast.Call) -> str | None:
    """Return the id of the task all of whose results a call pulls."""
    given = keywords(call)
    if getattr(call.func, "attr", "") != "xcom_pull" or "map_indexes" in given:
        return None
    task_id = constant(given.get("task_ids") or (call.args[0] if call.args else None))
    return task_id if isinstance(task_id, str) else None


def _given(call: ast.Call) -> list[ast.AST]:
    """Return what a task is given when it is declared."""
    values: list[ast.AST] = [*call.args]
    for keyword in call.keywords:
        if keyword.arg in {"op_args", "op_kwargs"} and isinstance(
            keyword.value, ast.List | ast.Tuple | ast.Dict
        ):
            values += keyword.value.elts if not isinstance(keyword.value, ast.Dict) else keyword.value.values
        elif keyword.arg not in {"trigger_rule", "python_callable", "dag", "task_id"}:
            values.append(keyword.value)
    return values


def _is_batched(file: File, call: ast.Call) -> bool:
    func: ast.AST = call.func
    while isinstance(func, ast.Attribute | ast.Call):
        func = func.value if isinstance(func, ast.Attribute) else func.func
    function = defined(file.source, func)
    decorator = None if function is None else task_decorator(file.source, function)
    return decorator is not None and decorator[0].rpartition(".")[2] == "batched"


def _task_id(one: Mapped) -> str:
    text = constant(one.fixed.get("task_id"))
    return text if isinstance(text, str) else one.function.name if one.function is not None else ""


RULES = (
    Rule(
        "MAP201",
        "results-move-up",
        "A task that runs whatever failed reads what a mapped task returned.",
        "warning",
        results_that_move_up,
    ),
)
