"""Tasks that are made by loops each time that the file is parsed: MAP107, MAP402."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import reads, variables
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

_HTTP = ("requests.", "httpx.", "urllib.request.", "aiohttp.")
_VERBS = frozenset({"get", "post", "request", "urlopen"})
_HOOK = re.compile(r"\w*(Hook|Client)")
_OF_HOOKS = frozenset(
    "get_records get_first get_pandas_df get_df list_keys list_prefixes list_objects list_objects_v2 list "
    "list_directory read_key get_conn run query get_paginator list_blobs list_buckets describe_table".split()
)
_SQL = frozenset({"read_sql", "read_sql_query", "read_sql_table", "fetchall", "fetchone", "fetchmany"})


def tasks_from_outside(file: File) -> Iterator[Finding]:
    """Yield loops that make tasks of what a database, a store or an API says while the file is parsed."""
    if file.is_test:
        return
    seen: set[str] = set()
    for loop in file.source.all(ast.For):
        if not file.reaches.of(loop) & Reach.PARSING or not _makes_tasks(file, loop):
            continue
        asked = _asked(file, loop.iter)
        if asked is None:
            continue
        text = file.source.code(asked)
        if text in seen:
            continue
        seen.add(text)
        yield file.finding(
            "MAP107",
            asked,
            f"How many tasks there are is asked of {_short(text)} each time that the file is parsed, every 30 "
            "seconds: when it "
            "does not answer the DAG is gone, and tasks of runs that are at work come and go",
            "Ask in a task, and map over what it returns: @task def items(): ...; work.expand(item=items())",
            related=[file.related(loop, "the loop that makes tasks")],
        )


def loop_that_could_be_mapped(file: File) -> Iterator[Finding]:
    """Yield loops that make one task an item."""
    if file.is_test:
        return
    for loop in file.source.all(ast.For):
        if not file.reaches.of(loop) & Reach.PARSING:
            continue
        if len(list(_tasks_in(file, loop))) == 1 and not _asked(file, loop.iter):
            yield file.finding(
                "MAP402",
                loop,
                "A loop makes a task an item while the file is parsed",
                "Map one task over the items: .partial(...).expand(...)",
                severity="info",
            )


def _makes_tasks(file: File, loop: ast.For) -> bool:
    return next(iter(_tasks_in(file, loop)), None) is not None or any(
        isinstance(one, ast.Call) and origin(file.source, one.func).rpartition(".")[2] in {"DAG", "TaskGroup"}
        for one in ast.walk(loop)
    )


def _tasks_in(file: File, loop: ast.For) -> Iterator[ast.Call]:
    names = variables(loop)
    inside = {id(one) for one in ast.walk(loop)}
    for one in file.made:
        if id(one.call) in inside and any(reads(value, names) for value in one.given.values()):
            yield one.call
    for node in ast.walk(loop):
        if isinstance(node, ast.Call):
            function = defined(file.source, node.func)
            if file.reaches.kind(function) == "task" and any(
                reads(value, names) for value in [*node.args, *(keyword.value for keyword in node.keywords)]
            ):
                yield node


def _asked(file: File, node: ast.AST) -> ast.Call | None:
    """Return the call that asks something outside for what a loop goes over, `None` if none does."""
    waiting: list[ast.AST] = [node]
    for _ in range(12):
        if not waiting:
            return None
        value = value_of(file.source, waiting.pop())
        if value is None:
            continue
        if isinstance(value, ast.Call):
            if _asks(file, value):
                return value
            function = defined(file.source, value.func)
            if isinstance(function, ast.FunctionDef) and not file.reaches.kind(function):
                found = _asked_in(file, function)
                if found is not None:
                    return found
                continue
        waiting += _made_of(value)
    return None


def _asked_in(file: File, function: ast.FunctionDef) -> ast.Call | None:
    calls = (one for one in ast.walk(function) if isinstance(one, ast.Call))
    return next((one for one in calls if _asks(file, one)), None)


def _made_of(value: ast.AST) -> list[ast.expr]:
    """Return what an expression takes its values from."""
    if isinstance(value, ast.Call):
        of = [value.func.value] if isinstance(value.func, ast.Attribute) else []
        return [*value.args[:2], *of]
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
        return [value.value]
    if isinstance(value, ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp):
        return [one.iter for one in value.generators]
    return [value.left, value.right] if isinstance(value, ast.BinOp) else []


def _asks(file: File, call: ast.Call) -> bool:
    path = origin(file.source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    if path.startswith(_HTTP) and name in _VERBS:
        return True
    if name in _SQL:
        return True
    if isinstance(call.func, ast.Attribute):
        of = value_of(file.source, call.func.value)
        if isinstance(of, ast.Call):
            made = origin(file.source, of.func).rpartition(".")[2] or getattr(
                of.func, "attr", getattr(of.func, "id", "")
            )
            if _HOOK.fullmatch(made) and name in _OF_HOOKS:
                return True
            if origin(file.source, of.func) in {
                "boto3.client",
                "boto3.resource",
                "google.cloud.storage.Client",
            }:
                return True
    return False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004


RULES = (
    Rule(
        "MAP107",
        "tasks-from-outside",
        "How many tasks there are is asked of a database, a store or an API at parse time.",
        "warning",
        tasks_from_outside,
    ),
    Rule(
        "MAP402",
        "loop-instead-of-map",
        "A parse-time loop makes one task an item.",
        "info",
        loop_that_could_be_mapped,
        on=False,
    ),
)
