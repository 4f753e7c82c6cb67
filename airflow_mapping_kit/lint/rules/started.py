"""Calls that start a run of a DAG: by Airflow's functions, its API, or its command line."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import function_of
from airflow_mapping_kit.lint.operators import keywords
from airflow_mapping_kit.lint.origins import defined, origin, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.project import File

_TRIGGERS = frozenset({"trigger_dag", "trigger_dag_run", "trigger_dagrun", "post_dag_run"})
_SENDS = frozenset({"post", "request", "run"})
_RUNS_OF_A_DAG = re.compile(r"/?dagRuns/?(\?.*)?")
_SHELL = ("subprocess.", "os.system", "os.popen")
_COMMAND = re.compile(r"\bairflow\s+(?:dags\s+trigger|trigger_dag)\s+(?:-\S+(?:\s+|=)\S+\s+)*(?P<dag>[\w.\-]*)$|"
                      r"\bairflow\s+(?:dags\s+trigger|trigger_dag)\s+(?P<first>[\w.\-]+)")  # fmt: skip
_WORDS = re.compile(r"\bairflow\b.*\b(dags trigger|trigger_dag)\b", re.DOTALL)
_FLAGS = frozenset({"-v", "--verbose", "--no-replace-microseconds", "--replace-microseconds"})
# Where a text has something put into it.
_PUT, _FIELD = "\0", re.compile(r"\{(\w*)[^{}]*\}")
_STEPS = 3


def started(file: File, call: ast.Call) -> ast.expr | None:
    """Return the DAG of which a call starts a run, as the file says it, `None` if it starts none."""
    path = origin(file.source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    given = keywords(call)
    # What the file itself defines is looked into.
    if name in _TRIGGERS and defined(file.source, call.func) is None:
        return given.get("dag_id") or (call.args[0] if call.args else None)
    if name == "create_dagrun" and isinstance(call.func, ast.Attribute):
        return call.func.value
    if path.startswith(_SHELL):
        return commanded(file, given.get("args") or (call.args[0] if call.args else None))
    return _posted(file, call, name) if name in _SENDS else None


def commanded(file: File, node: ast.expr | None) -> ast.expr | None:
    """Return the DAG that a command line triggers: `["airflow", "dags", "trigger", "ship"]`, or one text."""
    value = value_of(file.source, node)
    if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "split":
        value = value_of(file.source, value.func.value)  # type: ignore[attr-defined]
    if isinstance(value, ast.List | ast.Tuple):
        words = [one.value if isinstance(one, ast.Constant) else None for one in value.elts]
        for at, word in enumerate(words):
            if word in {"trigger", "trigger_dag"} and "airflow" in words[:at]:
                return _after_options(value.elts[at + 1 :])
        # One text for a shell: ["bash", "-c", "airflow dags trigger ship"].
        found = (commanded(file, one) for one in value.elts if not isinstance(one, ast.List | ast.Tuple))
        return next((one for one in found if one is not None), None)
    return _of_text(value)


def _after_options(words: list[ast.expr]) -> ast.expr | None:
    """Return the first word that is no option, nor an option's value."""
    waiting = list(words)
    while waiting:
        one = waiting.pop(0)
        text = str(one.value) if isinstance(one, ast.Constant) else ""
        if not text.startswith("-"):
            return one
        if "=" not in text and text not in _FLAGS:
            waiting = waiting[1:]
    return None


def _of_text(value: ast.AST | None) -> ast.expr | None:
    """Return which DAG one text triggers: the word after the command, or what is put into it there."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return _named(value.value, [])
    if isinstance(value, ast.JoinedStr):
        text = "".join(str(one.value) if isinstance(one, ast.Constant) else _PUT for one in value.values)
        return _named(text, [one.value for one in value.values if isinstance(one, ast.FormattedValue)])
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        return _formatted(value, value.func.value)
    return _summed(value) if isinstance(value, ast.BinOp) else None


def _formatted(call: ast.Call, template: ast.expr) -> ast.expr | None:
    if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
        return None
    names = _FIELD.findall(template.value)
    given = {**{str(at): one for at, one in enumerate(call.args)}, **keywords(call)}
    filled = [given.get(name or str(at)) for at, name in enumerate(names)]
    put = [one for one in filled if one is not None]
    return _named(_FIELD.sub(_PUT, template.value), put) if len(put) == len(filled) else None


def _summed(value: ast.BinOp) -> ast.expr | None:
    """Return which DAG is triggered by `"airflow dags trigger " + dag_id`, or with `%`."""
    parts: list[ast.expr] = [value]
    while isinstance(parts[0], ast.BinOp):
        parts[:1] = [parts[0].left, parts[0].right]
    first, put = parts[0], parts[1:]
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return None
    if isinstance(put[0], ast.Tuple):
        put = put[0].elts
    return _named(first.value.replace("%s", _PUT) + _PUT, put)


def _named(text: str, put: list[ast.expr]) -> ast.expr | None:
    if not _WORDS.search(text):
        return None
    before, mark, _ = text.partition(_PUT)
    found = _COMMAND.search(before)
    if found is None:
        return None
    name = found["dag"] or found["first"]
    if not name or (mark and found.end() == len(before) and found["dag"] and not before.endswith(" ")):
        return put[0] if put else None
    return ast.Constant(name)


def _posted(file: File, call: ast.Call, name: str) -> ast.expr | None:
    """Return the address of a call that posts to the runs of a DAG."""
    given = keywords(call)
    if name == "request":
        method = given.get("method") or (call.args[0] if call.args else None)
        if not (isinstance(method, ast.Constant) and str(method.value).upper() == "POST"):
            return None
    places = [given.get("url"), given.get("endpoint"), *call.args[:2]]
    return next((one for one in (addressed(file, place) for place in places) if one is not None), None)


def addressed(file: File, place: ast.expr | None) -> ast.expr | None:
    """Return an address of a DAG's runs, as the file says it; `None` for another address."""
    if place is None or not any(_RUNS_OF_A_DAG.fullmatch(text) for text in _ends(file, place)):
        return None
    value = value_of(file.source, place)
    return value if isinstance(value, ast.expr) else place


def _ends(file: File, node: ast.AST, steps: int = _STEPS) -> Iterator[str]:
    """Yield what texts of an address end in, followed through names and functions of the file: `/dagRuns`."""
    value = value_of(file.source, node)
    if isinstance(value, ast.Constant):
        # Of a template too: f"{API}/dags/{dag_id}/dagRuns" has the end in its last part.
        text = str(value.value)
        yield "dagRuns" if text.rstrip("/").endswith("dagRuns") else text
    elif steps:
        for one in _last_parts(file, value):
            yield from _ends(file, one, steps - 1)


def _last_parts(file: File, value: ast.AST | None) -> list[ast.expr]:
    """Return what a text ends in that is put together."""
    if isinstance(value, ast.JoinedStr):
        return value.values[-1:]
    if isinstance(value, ast.BinOp):
        return [value.left if isinstance(value.op, ast.Mod) else value.right]
    if not isinstance(value, ast.Call):
        return [value.value] if isinstance(value, ast.FormattedValue) else []
    function = function_of(file.source, value.func)
    if isinstance(function, ast.FunctionDef):
        returns = [one for one in ast.walk(function) if isinstance(one, ast.Return)]
        return [one.value for one in returns if one.value is not None]
    if isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        return [value.func.value]
    return value.args[-1:]  # urljoin(API, "dags/ship/dagRuns")
