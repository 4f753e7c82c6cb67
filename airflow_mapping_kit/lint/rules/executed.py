"""Operators that a task executes itself: MAP002, MAP104."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import function_of
from airflow_mapping_kit.lint.imported import imported
from airflow_mapping_kit.lint.loops import loops_around
from airflow_mapping_kit.lint.operators import constant, made
from airflow_mapping_kit.lint.origins import assigned, bindings, value_of
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.triggers import pollers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.operators import Made
    from airflow_mapping_kit.lint.project import File
    from airflow_mapping_kit.lint.source import Source

_TRIGGER = "TriggerDagRunOperator"


def executed_in_a_task(file: File) -> Iterator[Finding]:
    """Yield triggers that a task executes itself."""
    if file.is_test:
        return
    for call, one in executed(file):
        if one.name == _TRIGGER:
            looped = next(iter(loops_around(file.source, call)), None) is not None
            yield file.finding(
                "MAP002",
                call,
                f"TriggerDagRunOperator{_of_dag(one)} is executed inside another task. On Airflow 3, execute() ends "
                "that task: "
                + (
                    "the loop starts only the first run, and the task succeeds"
                    if looped
                    else "the code after it never runs, and the task succeeds"
                ),
                "Make it a task of its own. For many runs, map it, or use TriggerDagRunPerItemOperator(items=...)",
                severity="error",
                related=pollers(file, one.given.get("trigger_dag_id")),
            )


def operator_executed(file: File) -> Iterator[Finding]:
    """Yield operators that a task executes itself."""
    if file.is_test:
        return
    for call, one in executed(file):
        if one.name == "TriggerDagRunOperator":
            continue
        looped = next(iter(loops_around(file.source, call)), None) is not None
        yield file.finding(
            "MAP104",
            call,
            f"{one.name} runs inside another task{', in a loop' if looped else ''}: Airflow doesn't render its "
            "templates, doesn't retry it on its own, and doesn't show it in the grid",
            f"Map it: {one.name}.partial(...).expand(...)"
            if looped
            else "Make it a task of its own, or use its hook",
        )


def executed(file: File) -> Iterator[tuple[ast.Call, Made]]:
    """Yield the calls of `execute` of an operator in a task, and the operator."""
    for call in file.source.all(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "execute"):
            continue
        if file.reaches.of(call) != Reach.TASK:
            continue
        one = _operator(file, call, call.func.value)
        if one is not None:
            yield call, one


def _operator(file: File, call: ast.Call, node: ast.expr) -> Made | None:
    """Return the operator that an expression stands for: made there, under a name, or by a function of the file."""
    value = value_of(file.source, node)
    if isinstance(value, ast.Name):
        # Of a name that is used again and again what it was set to last.
        set_before = [
            given
            for given in (assigned(file.source, one) for one in bindings(file.source, value))
            if given is not None and given.lineno <= call.lineno
        ]
        value = set_before[-1] if set_before else _of_a_list(file, call, value)
    if not isinstance(value, ast.Call):
        return None
    function = function_of(file.source, value.func)
    if function is None:
        elsewhere = imported(file.source, value.func)
        return made(file.source, value) if elsewhere is None else _returned(*elsewhere)
    return None if file.reaches.kind(function) else _returned(file.source, function)


def _returned(source: Source, function: ast.AST) -> Made | None:
    """Return the operator that a function makes and returns, also under a name."""
    returned = (value_of(source, one.value) for one in ast.walk(function) if isinstance(one, ast.Return))
    operators = (made(source, one) for one in returned if isinstance(one, ast.Call))
    return next((one for one in operators if one is not None), None)


def _of_a_list(file: File, call: ast.Call, name: ast.Name) -> ast.expr | None:
    """Return what a list holds that a loop around a call goes over, of the name that stands for each."""
    loops = (one for one in loops_around(file.source, call) if not isinstance(one, ast.While))
    over = (one.iter for one in loops if isinstance(one.target, ast.Name) and one.target.id == name.id)
    held = value_of(file.source, next(over, None))
    if isinstance(held, ast.ListComp):
        return held.elt
    return held.elts[0] if isinstance(held, ast.List | ast.Tuple) and held.elts else None


def _of_dag(one: Made) -> str:
    dag_id = constant(one.given.get("trigger_dag_id"))
    return f" of {dag_id!r}" if isinstance(dag_id, str) else ""


RULES = (
    Rule(
        "MAP002",
        "trigger-executed-in-task",
        "A task executes a TriggerDagRunOperator.",
        "error",
        executed_in_a_task,
    ),
    Rule(
        "MAP104",
        "operator-executed-in-task",
        "A task executes another operator itself.",
        "warning",
        operator_executed,
    ),
)
