"""Labels that name what nothing puts into the context: MAP101."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Finding, Fix
from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import defined, origin
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TEXT = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
# A name that is no attribute, no filter, no keyword argument.
_NAME = re.compile(r"(?<![\w.|])(?<!\|\s)([A-Za-z_]\w*)(?!\s*=[^=])(?!\w)")
_WORDS = frozenset("and or not in is if else for recursive defined undefined".split())
# What runs elsewhere: its arguments are not in the context of the worker.
_ISOLATED = frozenset(
    {"external_python", "virtualenv", "docker", "kubernetes", "kubernetes_cmd", "pyspark", "uv"}
)


def unknown_name(file: File) -> Iterator[Finding]:
    """Yield labels that name what nothing puts into the context: the task fails after its work is done."""
    for function, decorator, template in _labelled(file):
        names = _names(template.value)
        if names is None:
            continue
        known = CONTEXT | (set() if decorator[0].rpartition(".")[2] in _ISOLATED else _arguments(function))
        missing = [name for name in names if name not in known]
        if not missing:
            continue
        put = _put(file, function)
        if put is None:
            continue
        for name in missing:
            if name not in put:
                yield file.finding(
                    "MAP101",
                    template,
                    f"The label of {function.name} names {name!r}, which nothing puts into the context: the "
                    "task fails after "
                    "its work is done, mapped or not",
                    f"Name an argument of {function.name}, or use label(): "
                    f'map_index_template=label("{{{_first(function)}}}")',
                    severity="error",
                    related=[file.related(function, f"the task {function.name}")],
                    fix=Fix(
                        (file.replaced(template, "label()"),),
                        safe=False,
                        imports=(("airflow_mapping_kit.labels", "label"),),
                    ),
                )
                break


def _labelled(file: File) -> Iterator[tuple[Function, tuple[str, ast.expr], ast.Constant]]:
    """Yield the functions that are tasks with a literal label, their decorator and the label."""
    for function in file.reaches.tasks():
        decorator = task_decorator(file.source, function)
        if decorator is None:
            continue
        given = [decorator[1]] if isinstance(decorator[1], ast.Call) else []
        templates = [
            keyword.value
            for call in given
            for keyword in call.keywords
            if keyword.arg == "map_index_template"
        ]
        templates += [
            one.fixed["map_index_template"]
            for one in file.mapped
            if one.function is function and "map_index_template" in one.fixed
        ]
        for template in templates:
            if isinstance(template, ast.Constant) and isinstance(template.value, str):
                yield function, decorator, template


def _names(template: str) -> list[str] | None:
    """Return the names that a template reads, `None` where it sets some itself."""
    if "{%" in template:
        return None
    found: list[str] = []
    for expression in _EXPRESSION.findall(template):
        text = _TEXT.sub("''", expression)
        # After a bar stands a filter; within its parentheses are names again.
        text = re.sub(r"\|\s*\w+", "", text)
        found += [name for name in _NAME.findall(text) if name not in _WORDS]
    return list(dict.fromkeys(found))


def _arguments(function: Function) -> set[str]:
    given = function.args
    return {one.arg for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]}


def _first(function: Function) -> str:
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args] if one.arg not in CONTEXT]
    return names[0] if names else "item"


def _put(file: File, function: Function) -> set[str] | None:
    """Return the names that a function, or one that it calls, puts into the context; `None` where it may be any."""
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
                if not isinstance(key, str):
                    return None
                found.add(key)
            elif isinstance(node, ast.Call):
                called = defined(file.source, node.func)
                keys = set() if called is not None else _put_by(file, node)
                if keys is None:
                    return None
                found |= keys
                waiting += [] if called is None else [called]
    return found


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


RULES = (
    Rule(
        "MAP101",
        "label-names-nothing",
        "A label names what nothing puts into the context.",
        "error",
        unknown_name,
    ),
)
