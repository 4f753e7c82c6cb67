"""Items that get lost: MAP203."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.origins import origin
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File

_LOGS = frozenset("print debug info warning warn error exception critical log write echo pprint".split())
_BROAD = frozenset({"builtins.Exception", "builtins.BaseException"})
_IO = re.compile(
    r"(get|post|put|patch|delete|head|request|urlopen|send\w*|upload\w*|download\w*|insert\w*|update\w*|write\w*|save\w*|"
    r"load\w*|execute\w*|executemany|run\w*|publish\w*|copy\w*|move\w*|remove\w*|fetch\w*|read\w*|push\w*|store\w*|"
    r"process\w*|ingest\w*|import\w*|export\w*|sync\w*|create\w*|transfer\w*|trigger\w*|call\w*|to_\w+|open|scrape\w*|crawl\w*|extract\w*)"
)
_PURE = frozenset("get update copy split strip format replace lower upper items keys values append".split())
_OF_NETWORK = (
    "requests.",
    "httpx.",
    "urllib.",
    "boto3.",
    "smtplib.",
    "ftplib.",
    "paramiko.",
    "psycopg2.",
    "shutil.",
    "os.",
    "subprocess.",
)


def items_that_get_lost(file: File) -> Iterator[Finding]:
    """Yield loops over items in a task that log what fails and go on: the task is green, items are lost."""
    if file.is_test:
        return
    for attempt in file.source.all(ast.Try):
        if file.reaches.of(attempt) != Reach.TASK:
            continue
        loop = next(iter(loops_around(file.source, attempt)), None)
        if not isinstance(loop, ast.For | ast.AsyncFor) or _tries_alternatives(loop, attempt):
            continue
        names = variables(loop)
        handler = next((one for one in attempt.handlers if _is_broad(file, one)), None)
        if handler is None or not _only_logs(file, handler) or not _works_on_it(file, attempt, names):
            continue
        if _is_counted(file, loop):
            continue
        yield file.finding(
            "MAP203",
            handler,
            "Whatever goes wrong with an item is logged, and the loop goes on: the task is green, and the item is lost",
            "Make the body a task of one item: @task.batched def work(item): ..., mapped over batches(items, "
            "batch_size=50), "
            "and collect(..., tolerated_failure_count=...)",
            related=[file.related(loop, "the loop over the items")],
        )


def _is_broad(file: File, handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(origin(file.source, one) in _BROAD for one in types)


def _only_logs(file: File, handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler does nothing with a failure but say it."""
    for statement in handler.body:
        if isinstance(statement, ast.Pass | ast.Continue):
            continue
        if isinstance(statement, ast.Expr):
            if isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value, ast.Call):
                func = statement.value.func
                name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                if name in _LOGS:
                    continue
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            # Text for the log.
            value = statement.value
            if isinstance(value, ast.JoinedStr | ast.Constant) or (
                isinstance(value, ast.Call) and origin(file.source, value.func) == "builtins.str"
            ):
                continue
        return False
    return True


def _works_on_it(file: File, attempt: ast.Try, names: set[str]) -> bool:
    """Tell whether what is tried is input or output with the item."""
    for statement in attempt.body:
        for node in ast.walk(statement):
            if not isinstance(node, ast.Call):
                continue
            path = origin(file.source, node.func)
            name = path.rpartition(".")[2] or getattr(node.func, "attr", "")
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                given.append(node.func.value)
            if not any(reads(one, names) for one in given):
                continue
            if path.startswith("builtins.") and name != "open":
                continue
            if path.startswith(_OF_NETWORK) or (_IO.fullmatch(name) and name not in _PURE):
                return True
    return False


def _tries_alternatives(loop: ast.For | ast.AsyncFor, attempt: ast.Try) -> bool:
    """Tell whether a loop goes on until one of several ways works."""
    after = [*attempt.body, *attempt.orelse]
    inside = [node for statement in after for node in ast.walk(statement)]
    if any(isinstance(node, ast.Break | ast.Return) for node in inside):
        return True
    # The very next statements of the loop's body may leave it.
    at = next((number for number, line in enumerate(loop.body) if line is attempt), None)
    return at is not None and any(isinstance(line, ast.Break | ast.Return) for line in loop.body[at + 1 :])


def _is_counted(file: File, loop: ast.For | ast.AsyncFor) -> bool:
    """Tell whether what is worked on is counted against what there was, after the loop, by raising."""
    function = file.source.function_around(loop)
    if function is None or isinstance(function, ast.Lambda):
        return False
    end = loop.end_lineno or loop.lineno
    return any(
        isinstance(node, ast.Raise | ast.Assert) and node.lineno > end
        for node in ast.walk(function)
        if not isinstance(node, ast.Lambda)
    )


RULES = (
    Rule(
        "MAP203",
        "items-get-lost",
        "A loop over items in a task only logs what fails.",
        "warning",
        items_that_get_lost,
    ),
)
