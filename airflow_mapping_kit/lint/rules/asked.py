"""Queries to something outside: a database, a store, an API."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import function_of
from airflow_mapping_kit.lint.imported import imported
from airflow_mapping_kit.lint.origins import opened, origin, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.lint.project import File
    from airflow_mapping_kit.lint.source import Source

_HTTP = ("requests.", "httpx.", "urllib.request.", "aiohttp.")
_VERBS = frozenset({"get", "post", "request", "urlopen"})
_HOOK = re.compile(r"\w*(Hook|Client)")
_OF_HOOKS = frozenset(
    "get_records get_first get_pandas_df get_df list_keys list_prefixes list_objects list_objects_v2 list "
    "list_directory read_key get_conn run query get_paginator list_blobs list_buckets describe_table".split()
)
_SQL = frozenset({"read_sql", "read_sql_query", "read_sql_table", "fetchall", "fetchone", "fetchmany"})
_CLIENTS = frozenset({"boto3.client", "boto3.resource", "google.cloud.storage.Client"})
# What is opened once, and then asked: settings.Session(), engine.connect(), MongoClient(...)["shop"]["orders"].
_OPENED = re.compile(r"\w*[Ss]ession(Local)?|connect|begin|MongoClient")
_OF_OPENED = frozenset("query execute scalars scalar exec find aggregate distinct".split())
_STEPS = 12


def asked_outside(file: File, node: ast.AST) -> ast.Call | None:
    """Return the call that asks something outside for a value, `None` if none does."""
    also = file.settings.parse_time_sources
    waiting: list[ast.AST] = [node]
    for _ in range(_STEPS):
        if not waiting:
            return None
        value = value_of(file.source, waiting.pop())
        if isinstance(value, ast.Call):
            if _asks(file.source, value, also):
                return value
            function = function_of(file.source, value.func)
            if function is not None and not file.reaches.kind(function):
                found = _asked_in(file.source, function, also)
                if found is not None:
                    return found
                continue
            if function is None and _asked_elsewhere(file, value):
                return value
        if value is not None:
            waiting += _made_of(value)
    return None


def _asked_in(source: Source, function: ast.AST, also: Iterable[str]) -> ast.Call | None:
    calls = (one for one in ast.walk(function) if isinstance(one, ast.Call))
    return next((one for one in calls if _asks(source, one, also)), None)


def _asked_elsewhere(file: File, call: ast.Call) -> bool:
    """Tell whether a function of another module of the project asks something outside."""
    found = imported(file.source, call.func)
    return found is not None and _asked_in(*found, file.settings.parse_time_sources) is not None


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


def _asks(source: Source, call: ast.Call, also: Iterable[str]) -> bool:
    path = origin(source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    if (path.startswith(_HTTP) and name in _VERBS) or name in _SQL:
        return True
    if any(path == one or path.endswith(f".{one}") for one in also):
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    of = _opened(source, call.func.value)
    if not isinstance(of, ast.Call):
        return False
    made = origin(source, of.func)
    last = made.rpartition(".")[2] or getattr(of.func, "attr", getattr(of.func, "id", ""))
    if made in _CLIENTS or (made.startswith(_HTTP) and name in _VERBS):
        return True
    return (_HOOK.fullmatch(last) is not None and name in _OF_HOOKS) or (
        _OPENED.fullmatch(last) is not None and name in _OF_OPENED
    )


def _opened(source: Source, node: ast.expr) -> ast.AST | None:
    """Return what was called to open what a method is of."""
    value = opened(source, node)
    for _ in range(_STEPS):
        # Not without end: `config = config["shop"]`.
        if not isinstance(value, ast.Subscript | ast.Attribute):
            break
        value = opened(source, value.value)
    return value
