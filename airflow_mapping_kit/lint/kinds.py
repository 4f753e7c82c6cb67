"""What Airflow makes of a function or a class."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import opened, origin

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.source import Source

# What else of a package of Airflow's, or of the kit, makes a task of a function.
TASKS = frozenset({"task", "setup", "teardown", "batched", "generator"})


def decorator_kind(source: Source, function: ast.AST) -> str:
    """Return what Airflow makes of a function that is decorated: `task`, `task_group`, `dag`; else nothing."""
    for one in getattr(function, "decorator_list", ()):
        path = _path(source, one.func if isinstance(one, ast.Call) else one)
        if not path.startswith(("airflow.", "airflow_mapping_kit.")):
            continue
        parts = path.split(".")
        if parts[-1] in {"dag", "task_group"}:
            return parts[-1]
        if not TASKS.isdisjoint(parts[1:]):
            return "task"
    return ""


def task_decorator(source: Source, function: ast.AST) -> tuple[str, ast.expr] | None:
    """Return the dotted path and the node of the decorator that makes a task of a function, `None` where none does."""
    for one in getattr(function, "decorator_list", ()):
        path = _path(source, one.func if isinstance(one, ast.Call) else one)
        if path.startswith(("airflow.", "airflow_mapping_kit.")) and not TASKS.isdisjoint(
            path.split(".")[1:]
        ):
            return path, one
    return None


def _path(source: Source, node: ast.expr) -> str:
    """Return the dotted path of a decorator; `@dag.task` of a DAG is Airflow's `task`."""
    attributes: list[str] = []
    of = node
    while isinstance(of, ast.Attribute):
        attributes.append(of.attr)
        of = of.value
    made = opened(source, of) if attributes else None
    if isinstance(made, ast.Call):
        path = origin(source, made.func)
        if path.startswith("airflow") and path.endswith(".DAG"):
            return ".".join(["airflow.decorators", *reversed(attributes)])
    return origin(source, node)


def is_of_an_operator(source: Source, method: ast.AST) -> bool:
    """Tell whether a method is of an operator, a sensor, a hook, or another class that Airflow calls by itself."""
    class_ = source.parents[method]
    if not isinstance(class_, ast.ClassDef):
        return False
    names = [origin(source, base) or getattr(base, "attr", getattr(base, "id", "")) for base in class_.bases]
    names.append(class_.name)
    kinds = ("Operator", "Sensor", "Hook", "Trigger", "Plugin", "Mixin", "Notifier", "Timetable")
    return any(name.endswith(kinds) or name.startswith("airflow.") for name in names)


def opens(node: ast.AST, *classes: str) -> bool:
    """Tell whether a `with` opens an object of one of some classes: `with DAG(...):`."""
    if not isinstance(node, ast.With | ast.AsyncWith):
        return False
    made = (item.context_expr for item in node.items)
    funcs = (one.func if isinstance(one, ast.Call) else one for one in made)
    return any(getattr(func, "attr", getattr(func, "id", "")) in classes for func in funcs)
