"""What happens each time that the file is parsed: MAP107, MAP110, MAP402."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Edit, Finding, Fix, Rule
from airflow_mapping_kit.lint.loops import reads, variables
from airflow_mapping_kit.lint.origins import origin, value_of
from airflow_mapping_kit.lint.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.project import File

_HTTP = ("requests.", "httpx.", "urllib.request.", "aiohttp.")
_VERBS = frozenset({"get", "post", "request", "urlopen"})
_HOOK = re.compile(r"\w*(Hook|Client)")
_OF_HOOKS = frozenset(
    "get_records get_first get_pandas_df get_df list_keys list_prefixes list_objects list_objects_v2 list "
    "list_directory read_key get_conn run query get_paginator list_blobs list_buckets describe_table".split()
)
_SQL = frozenset({"read_sql", "read_sql_query", "read_sql_table", "fetchall", "fetchone", "fetchmany"})
_QUERIES = frozenset({"execute", "scalars", "all"})


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
            f"How many tasks there are is asked of {_short(text)} each time that the file is parsed, every 30 seconds: when it "
            "does not answer the DAG is gone, and tasks of runs that are at work come and go",
            "Ask in a task, and map over what it returns: @task def items(): ...; work.expand(item=items())",
            related=[file.related(loop, "the loop that makes tasks")],
        )


def heavy_import(file: File) -> Iterator[Finding]:
    """Yield heavy modules that a DAG file with mapped tasks imports at its top: each instance pays for them."""
    if file.is_test or not file.mapped or not file.defines_dags:
        return
    for statement in file.source.tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        modules = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else [statement.module or ""]
        if isinstance(statement, ast.ImportFrom) and statement.level:
            continue
        heavy = [module for module in modules if module.partition(".")[0] in file.settings.heavy_modules]
        if heavy:
            yield file.finding(
                "MAP110",
                statement,
                f"{heavy[0]} is imported while the file is parsed: the DAG processor pays for it each time, and so does every "
                f"mapped instance",
                "Import it in the functions that use it",
                severity="info",
                fix=_moved(file, statement),
            )


def loop_that_could_be_mapped(file: File) -> Iterator[Finding]:
    """Yield loops that make one task an item."""
    if file.is_test:
        return
    for loop in file.source.all(ast.For):
        if not file.reaches.of(loop) & Reach.PARSING:
            continue
        calls = [one for one in _tasks_in(file, loop)]
        if len(calls) == 1 and not _asked(file, loop.iter):
            yield file.finding(
                "MAP402",
                loop,
                "A loop makes a task an item while the file is parsed",
                "Map one task over the items: .partial(...).expand(...)",
                severity="info",
            )


def _moved(file: File, statement: ast.Import | ast.ImportFrom) -> Fix | None:
    """Return the fix that imports in the tasks that use it, `None` where something else uses it too, or nothing does."""
    source = file.source
    alias = statement.names[0]
    name = alias.asname or alias.name.partition(".")[0]
    start, end = source.span(statement)
    line_end = source.offset(statement.end_lineno or statement.lineno, 0) + len(source.lines[(statement.end_lineno or statement.lineno) - 1])
    alone = statement.col_offset == 0 and not source.text[end:line_end].strip()
    if len(statement.names) != 1 or not alone or len(source.scopes[source.tree].names.get(name, ())) != 1:
        return None
    users: dict[ast.AST, None] = {}
    for node in source.all(ast.Name):
        found = source.lookup(node) if node.id == name else None
        if found is None or found[0].node is not source.tree or not isinstance(node.ctx, ast.Load):
            continue
        user = _outermost_in_a_task(file, node)
        if user is None:
            return None
        users[user] = None
    edits = [Edit(start, line_end, "")]
    for user in users:
        first = user.body[1:] if ast.get_docstring(user, clean=False) is not None else user.body  # type: ignore[attr-defined, arg-type]
        if not first:
            return None
        line = min([first[0].lineno, *(one.lineno for one in getattr(first[0], "decorator_list", ()))])
        indent = re.match(r"[ \t]*", source.lines[line - 1])
        at = source.offset(line, 0)
        if indent is None or line == user.lineno or source.text[at : source.offset(line, first[0].col_offset)].strip() not in {"", "@"}:  # type: ignore[attr-defined]
            return None
        edits.append(Edit(at, at, f"{indent[0]}{source.code(statement)}\n\n"))
    return Fix(tuple(edits), safe=True) if users else None


def _outermost_in_a_task(file: File, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the outermost function around a node that runs in tasks alone, `None` where there is none."""
    found = None
    function = file.source.function_around(node)
    while function is not None:
        if file.reaches.of_function(function) == Reach.TASK and isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            found = function
        elif found is not None:
            break
        function = file.source.function_around(function)
    return found


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
    from airflow_mapping_kit.lint.origins import defined

    for node in ast.walk(loop):
        if isinstance(node, ast.Call):
            function = defined(file.source, node.func)
            if file.reaches.kind(function) == "task" and any(
                reads(value, names) for value in [*node.args, *(keyword.value for keyword in node.keywords)]
            ):
                yield node


def _asked(file: File, node: ast.AST) -> ast.Call | None:
    """Return the call that asks something outside for what a loop goes over, `None` if none does."""
    waiting: list[ast.AST | None] = [node]
    for _ in range(12):
        if not waiting:
            return None
        value = value_of(file.source, waiting.pop())
        if value is None:
            continue
        if isinstance(value, ast.Call):
            if _asks(file, value):
                return value
            from airflow_mapping_kit.lint.origins import defined

            function = defined(file.source, value.func)
            if isinstance(function, ast.FunctionDef) and not file.reaches.kind(function):
                found = next((one for one in ast.walk(function) if isinstance(one, ast.Call) and _asks(file, one)), None)
                if found is not None:
                    return found
                continue
            waiting += value.args[:2]
            waiting.append(value.func.value if isinstance(value.func, ast.Attribute) else None)
        elif isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
            waiting.append(value.value)
        elif isinstance(value, ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp):
            waiting += [one.iter for one in value.generators]
        elif isinstance(value, ast.BinOp):
            waiting += [value.left, value.right]
    return None


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
            made = origin(file.source, of.func).rpartition(".")[2] or getattr(of.func, "attr", getattr(of.func, "id", ""))
            if _HOOK.fullmatch(made) and name in _OF_HOOKS:
                return True
            if origin(file.source, of.func) in {"boto3.client", "boto3.resource", "google.cloud.storage.Client"}:
                return True
    return False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004


RULES = (
    Rule("MAP107", "tasks-from-outside", "How many tasks there are is asked of a database, a store or an API at parse time.", "warning", tasks_from_outside),
    Rule("MAP110", "heavy-import", "A heavy module is imported at the top of a DAG file with mapped tasks.", "info", heavy_import),
    Rule("MAP402", "loop-instead-of-map", "A parse-time loop makes one task an item.", "info", loop_that_could_be_mapped, on=False),
)
