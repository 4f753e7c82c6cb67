"""Tasks and operators inside a running task, where they never run: MAP102, MAP103."""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.kinds import opens
from airflow_mapping_kit.lint.origins import bindings, defined
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

# So often a list is followed to the list that it is put into.
_STEPS = 3
_CALLS = frozenset({"expand", "expand_kwargs", "partial", "override"})


def task_called_in_a_task(file: File) -> Iterator[Finding]:
    """Yield calls of a task inside another task: they create a task that never runs."""
    if file.is_test:
        return
    for call in file.source.all(ast.Call):
        function = _task_that_is_called(file, call)
        if function is None or file.reaches.of(call) != Reach.TASK or _makes_a_dag(file, call):
            continue
        yield file.finding(
            "MAP102",
            call,
            f"{function.name} is a task, and this call inside a running task doesn't run it: the call only returns a "
            "reference, and the running task succeeds",
            f"Call {function.name} where the DAG is defined, and pass its output to this task. To run its code here, "
            f"call {function.name}.function(...)",
            severity="error",
            related=[file.related(function, f"the task {function.name}")],
        )


def operator_that_never_runs(file: File) -> Iterator[Finding]:
    """Yield operators that a task creates and doesn't run."""
    if file.is_test:
        return
    for one in file.made:
        if file.reaches.of(one.call) != Reach.TASK or _makes_a_dag(file, one.call):
            continue
        how = _used(file, one.call)
        if how is None:
            continue
        what = (
            "returns it, but an XCom can't hold an operator"
            if how == "returned"
            else "never runs it; the task succeeds"
        )
        yield file.finding(
            "MAP103",
            one.call,
            f"A running task creates {one.name}, and {what}",
            "Create it where the DAG is defined. If you need many, map it: .partial(...).expand(...)",
            severity="error",
        )


def _task_that_is_called(file: File, call: ast.Call) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    func: ast.AST = call.func
    if isinstance(func, ast.Attribute) and func.attr in _CALLS:
        # The last call of a chain speaks for all of it.
        if isinstance(file.source.parents.get(call), ast.Attribute):
            return None
        while isinstance(func, ast.Attribute) and func.attr in _CALLS:
            func = func.value.func if isinstance(func.value, ast.Call) else func.value
    function = defined(file.source, func)
    if isinstance(function, ast.ClassDef) or file.reaches.kind(function) != "task":
        return None
    # Of a name that has several meanings nobody knows which it is.
    if isinstance(func, ast.Name) and len(bindings(file.source, func)) != 1:
        return None
    return function


def _makes_a_dag(file: File, node: ast.AST) -> bool:
    """Tell whether a node is within a DAG that the function around it declares."""
    function = file.source.function_around(node)
    around = itertools.takewhile(lambda one: one is not function, file.source.above(node))
    return any(opens(one, "DAG", "TaskGroup") for one in around)


def _used(file: File, call: ast.Call) -> str | None:
    """Return what becomes of an operator that is made: `returned`, or `dropped`; `None` where somebody may run it."""
    inside: ast.AST = call
    parent = file.source.parents[call]
    # first >> second: nothing runs by that either; nor of a list.
    while isinstance(parent, ast.BinOp | ast.List | ast.Tuple | ast.ListComp | ast.IfExp):
        inside, parent = parent, file.source.parents[parent]
    if isinstance(parent, ast.Expr):
        return "dropped"
    if isinstance(parent, ast.Return):
        return "returned" if _is_a_task(file, parent) else None
    held = _list_of(file, inside)
    if held is not None:
        return _read(file, held)
    name = isinstance(parent, ast.Assign) and len(parent.targets) == 1 and parent.targets[0]
    return _read(file, name) if isinstance(name, ast.Name) else None


def _is_a_task(file: File, node: ast.AST) -> bool:
    """Tell whether what is returned is what a task returns: of a helper somebody may run it."""
    function = file.source.function_around(node)
    return function is not None and file.reaches.is_task(function)


def _read(file: File, target: ast.Name, steps: int = _STEPS) -> str | None:
    """Return what becomes of the operator, or the list of them, that has a name."""
    found = file.source.lookup(target)
    scope = found[0].node if found else None
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    uses: set[type[ast.AST]] = set()
    fates: set[str | None] = set()
    for one in ast.walk(scope):
        if isinstance(one, ast.Name) and one.id == target.id and isinstance(one.ctx, ast.Load):
            parent = file.source.parents[one]
            held = _list_of(file, one)
            if held is not None:
                fates.add(_read(file, held, steps - 1) if steps else None)
            elif not (isinstance(parent, ast.Attribute) and parent.attr == "append"):
                uses.add(type(parent))
    if ast.Return in uses and uses <= {ast.Return, ast.BinOp, ast.Expr} and _is_a_task(file, scope.body[0]):
        fates.add("returned")
    elif not uses <= {ast.BinOp, ast.Expr}:
        return None
    # Of what is done in several ways the worst counts; what nobody knows may be a run.
    return None if None in fates else "returned" if "returned" in fates else "dropped"


def _list_of(file: File, node: ast.AST) -> ast.Name | None:
    """Return the name of the list that a node is appended to, `None` where it is to none."""
    parent = file.source.parents[node]
    if not (isinstance(parent, ast.Call) and node in parent.args and isinstance(parent.func, ast.Attribute)):
        return None
    held = parent.func.value
    return held if parent.func.attr == "append" and isinstance(held, ast.Name) else None


RULES = (
    Rule(
        "MAP102",
        "task-called-in-task",
        "A running task calls another task, which never runs.",
        "error",
        task_called_in_a_task,
    ),
    Rule(
        "MAP103",
        "operator-never-runs",
        "A running task creates an operator, which never runs.",
        "error",
        operator_that_never_runs,
    ),
)
