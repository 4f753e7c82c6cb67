"""Labels that use unknown names: MAP101."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Finding, Fix
from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.context import CONTEXT, arguments, put_there

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.project import File

    Function = ast.FunctionDef | ast.AsyncFunctionDef

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
    """Yield labels that use a name which is not in the context: the task fails after its work is done."""
    for function, decorator, template in _labelled(file):
        names = _names(template.value)
        if names is None:
            continue
        isolated = decorator[0].rpartition(".")[2] in _ISOLATED
        given = set() if isolated else arguments(file, function)
        missing = [name for name in names if given is not None and name not in CONTEXT | given]
        if not missing:
            continue
        # What a function puts into the context of another process stays there.
        put = set() if isolated else put_there(file, function)
        if put is None:
            continue
        for name in missing:
            if name not in put:
                yield file.finding(
                    "MAP101",
                    template,
                    f"The label of {function.name} uses {name!r}, which is not in the context: the task fails after "
                    "its work is done, mapped or not",
                    f"Use an argument of {function.name}, or label(): "
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


def _first(function: Function) -> str:
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args] if one.arg not in CONTEXT]
    return names[0] if names else "item"


RULES = (
    Rule(
        "MAP101",
        "label-names-nothing",
        "A label uses a name that is not in the context.",
        "error",
        unknown_name,
    ),
)
