"""The mapped task whose results a task reads: as an argument, or by pulling them itself."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import defined, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

# In a template: {{ ti.xcom_pull(task_ids='load') }}.
_IN_A_TEMPLATE = re.compile(r"xcom_pull\(\s*(?:task_ids\s*=\s*)?\[?\s*['\"]([\w.\-]+)['\"]")
_MADE_OF_IT = frozenset({"zip", "map", "concat", "filter"})
_STEPS = 10


def read_by(file: File, call: ast.Call, by_call: Mapping[ast.Call, Mapped]) -> Mapped | None:
    """Return the mapped task whose output a task gets or pulls."""
    read = _read_of(file, call)
    for value in _given(call):
        if read is not None and not any(value is one for one in read):
            continue
        found = next((one for one in _followed(file, value) if one in by_call), None)
        if isinstance(found, ast.Call):
            return by_call[found]
    function = defined(file.source, call.func) or defined(file.source, keywords(call).get("python_callable"))
    ids = {_task_id(one): one for one in by_call.values()}
    return next((ids[task_id] for task_id in _pulled(call, function) if task_id in ids), None)


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


def _followed(file: File, value: ast.AST) -> Iterator[ast.AST]:
    """Yield what a value is made of: of `loaded.output`, `loaded["rows"]` and `loaded.zip(names)` what was mapped."""
    waiting: list[ast.AST | None] = [value]
    for _ in range(_STEPS):
        if not waiting:
            return
        found = value_of(file.source, waiting.pop(0))
        if found is None:
            continue
        yield found
        if isinstance(found, ast.Subscript) or (isinstance(found, ast.Attribute) and found.attr == "output"):
            waiting.append(found.value)
        elif isinstance(found, ast.List | ast.Tuple):
            waiting += found.elts
        elif isinstance(found, ast.Call) and getattr(found.func, "attr", "") in _MADE_OF_IT:
            waiting += [found.func.value, *found.args]  # type: ignore[attr-defined]


def _pulled(call: ast.Call, function: ast.AST | None) -> Iterator[str]:
    """Yield the ids of the tasks all of whose results a task pulls, without the groups that they are in."""
    for one in ast.walk(call):
        text = constant(one)
        if isinstance(text, str):
            yield from (task_id.rpartition(".")[2] for task_id in _IN_A_TEMPLATE.findall(text))
    for pull in ast.walk(function) if function is not None else ():
        if not (isinstance(pull, ast.Call) and getattr(pull.func, "attr", "") == "xcom_pull"):
            continue
        given = keywords(pull)
        named = given.get("task_ids") or (pull.args[0] if pull.args else None)
        if "map_indexes" not in given and named is not None:
            texts = (
                constant(one) for one in (named.elts if isinstance(named, ast.List | ast.Tuple) else [named])
            )
            yield from (text.rpartition(".")[2] for text in texts if isinstance(text, str))


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


def _task_id(one: Mapped) -> str:
    text = constant(one.fixed.get("task_id"))
    return text if isinstance(text, str) else one.function.name if one.function is not None else ""
