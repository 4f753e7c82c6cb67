"""The names in a task's context when its label is rendered: those of Airflow, of its arguments and of its code."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import bindings, defined, origin

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.project import File

    Function = ast.FunctionDef | ast.AsyncFunctionDef

# What Airflow's context holds, of any version from 2.10 on, and what Jinja and Airflow have in every template.
CONTEXT = frozenset(
    "conf conn dag dag_run data_interval_end data_interval_start ds ds_nodash exception execution_date "
    "expanded_ti_count "
    "inlet_events inlets inlets_events logical_date macros map_index_template next_ds next_ds_nodash "
    "next_execution_date "
    "outlet_events outlets params prev_data_interval_end_success prev_data_interval_start_success prev_ds "
    "prev_ds_nodash "
    "prev_end_date_success prev_execution_date prev_execution_date_success prev_start_date_success reason run_id task "
    "task_instance task_instance_key_str task_reschedule_count templates_dict test_mode ti tomorrow_ds "
    "tomorrow_ds_nodash "
    "triggering_asset_events triggering_dataset_events ts ts_nodash ts_nodash_with_tz try_number var yesterday_ds "
    "yesterday_ds_nodash start_date map_index partition_key partition_date task_state_store asset_state_store "
    "range dict lipsum cycler joiner namespace loop self true false none True False None".split()
)


def arguments(file: File, function: Function) -> set[str] | None:
    """Return the arguments of a task, `None` if it takes any and the file doesn't say which."""
    given = function.args
    found = {one.arg for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]}
    if given.kwarg is None:
        return found
    uses = [one for one in file.source.all(ast.Name) if defined(file.source, one) is function]
    named = [_handed(file, one) for one in uses]
    if not named or None in named:
        return None
    return found.union(*(one for one in named if one is not None))


def _handed(file: File, name: ast.Name) -> set[str] | None:
    """Return what a use of a task hands over by name: of `load.partial(a=1).expand(b=[2])` it is `a` and `b`."""
    found: set[str] = set()
    is_called = False
    node: ast.AST = name
    while isinstance(parent := file.source.parents[node], ast.Attribute | ast.Call):
        if isinstance(parent, ast.Call):
            if parent.func is not node:
                break
            is_any = getattr(node, "attr", "") == "expand_kwargs"
            if is_any or any(keyword.arg is None for keyword in parent.keywords):
                return None
            is_called = True
            found |= {str(keyword.arg) for keyword in parent.keywords}
        node = parent
    return found if is_called else None


def put_there(file: File, function: Function) -> set[str] | None:
    """Return the names that a function, or one that it calls, puts into the context; `None` if they are unknown."""
    found: set[str] = set()
    waiting: list[ast.AST] = [function]
    seen: set[ast.AST] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for node in ast.walk(one):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                key = constant(node.slice)
                if _is_a_copy(file, function, node.value):
                    continue
                if not isinstance(key, str):
                    return None
                found.add(key)
            elif isinstance(node, ast.Call):
                if _is_a_copy(file, function, getattr(node.func, "value", None)):
                    continue
                called = defined(file.source, node.func)
                keys = set() if called is not None else _put_by(file, node)
                if keys is None:
                    return None
                found |= keys
                waiting += [] if called is None else [called]
    return found


def _is_a_copy(file: File, function: Function, node: ast.AST | None) -> bool:
    """Tell whether an expression is the `**context` of a task: a dict of its own, of which Airflow sees nothing."""
    if not isinstance(node, ast.Name):
        return False
    bound = bindings(file.source, node)
    return len(bound) == 1 and bound[0] is function.args.kwarg


def _put_by(file: File, call: ast.Call) -> set[str] | None:
    """Return the names that a call of what is not in this file puts into the context; `None` where it may be any."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in {"update", "setdefault"}:
        return _keys(call)
    known = origin(file.source, call.func).startswith(("airflow.", "builtins."))
    return None if _gets_the_context(call) and not known else set()


def _keys(call: ast.Call) -> set[str] | None:
    """Return the keys that `update` or `setdefault` sets, `None` where they are not written there."""
    keys = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    for argument in call.args[:1]:
        if isinstance(argument, ast.Dict):
            values = [constant(key) for key in argument.keys]
            if not all(isinstance(value, str) for value in values):
                return None
            keys |= {str(value) for value in values}
        elif isinstance(constant(argument), str):
            keys.add(str(constant(argument)))
        else:
            return None
    return {str(key) for key in keys}


def _gets_the_context(call: ast.Call) -> bool:
    """Tell whether what another module defines may put something into the context."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(isinstance(one, ast.Name) and one.id in {"context", "kwargs", "ctx"} for one in given)
