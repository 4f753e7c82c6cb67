"""Loops and mapped instances in which a call is made with the item, also by a function that they call."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import calls_of
from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.operators import names_in
from airflow_mapping_kit.lint.origins import bindings, defined, value_of
from airflow_mapping_kit.lint.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from airflow_mapping_kit.lint.loops import Loop
    from airflow_mapping_kit.lint.project import File

    Function = ast.FunctionDef | ast.AsyncFunctionDef


_TAKES = frozenset({"pop", "popleft", "get_nowait", "poll", "next", "lpop", "rpop", "blpop", "brpop"})


def turn(file: File, call: ast.Call, dag_id: ast.expr) -> ast.AST | None:
    """Return the loop in which a call starts a run for each item, also in a function that the loop calls."""
    given = dict(enumerate(_values(call)))
    found, routed = _loop(file, call, given, [dag_id])
    if found is not None or routed:
        return found
    function = file.source.function_around(call)
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    routes = names_in(dag_id) & arguments(function)
    for caller, values in calls_of(file.source, function):
        if file.reaches.of(caller) != Reach.TASK:
            continue
        if values is None:
            # pool.map(start, orders): the item is the first argument.
            return None if routes & _first(function) else caller
        found, routed = _loop(file, caller, values, [values[name] for name in routes if name in values])
        if found is not None or routed:
            return found
    return None


def _loop(
    file: File, call: ast.Call, given: Mapping[Any, ast.expr], routes: list[ast.expr]
) -> tuple[ast.AST | None, bool]:
    """Return the loop whose item a call is given, and whether the item says which DAG it is for."""
    for loop in loops_around(file.source, call):
        names = _taken(loop) if isinstance(loop, ast.While) else variables(loop)
        if any(reads(one, names) for one in routes):
            return None, True
        if any(reads(one, names) for one in given.values()):
            return shown(loop), False
    return None, False


def _taken(loop: ast.While) -> set[str]:
    """Return the names that hold what each turn takes from a queue: who only tries again takes nothing."""
    return {
        target.id
        for line in loop.body
        if isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Call)
        and getattr(line.value.func, "attr", getattr(line.value.func, "id", "")) in _TAKES
        for target in line.targets
        if isinstance(target, ast.Name)
    }


def an_instance_each(file: File, call: ast.Call, dag_id: ast.expr) -> bool:
    """Tell whether a call starts a run of one and the same DAG in each instance of a mapped task."""
    mapped = {}
    for one in file.mapped:
        function = one.function or defined(file.source, one.fixed.get("python_callable"))
        if function is not None:
            mapped[function] = one
    around = file.source.function_around(call)
    if not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    if around in mapped:
        # What is the same for all instances may be an argument.
        varies = arguments(around) - set(mapped[around].fixed)
        return not reads(value_of(file.source, dag_id), varies) and not reads(dag_id, varies)
    if names_in(dag_id) & arguments(around):
        return False
    return any(file.source.function_around(caller) in mapped for caller, _ in calls_of(file.source, around))


def turns_differ(file: File, call: ast.Call, dag_id: ast.expr) -> bool:
    """Tell whether the DAG that a call starts depends on a name that is set in several places."""
    here = file.source.function_around(call)
    for name in ast.walk(dag_id):
        if not isinstance(name, ast.Name) or name not in file.source.parents:
            continue
        found = bindings(file.source, name)
        if len(found) > 1 and all(file.source.function_around(one) is here for one in found):
            return True
    return False


def arguments(function: Function) -> set[str]:
    """Return the names of a function's arguments."""
    given = function.args
    return {one.arg for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]}


def shown(loop: Loop) -> ast.AST:
    """Return the node that shows where a loop is: a comprehension has no place of its own."""
    return loop.target if isinstance(loop, ast.comprehension) else loop


def _first(function: Function) -> set[str]:
    return {one.arg for one in [*function.args.posonlyargs, *function.args.args][:1]}


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]
