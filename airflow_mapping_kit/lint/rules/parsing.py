"""Tasks that loops create each time that the file is parsed: MAP107, MAP402."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import function_of
from airflow_mapping_kit.lint.loops import reads, variables
from airflow_mapping_kit.lint.origins import defined, origin
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.asked import asked_outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File


def tasks_from_outside(file: File) -> Iterator[Finding]:
    """Yield loops that create tasks from the answer of a database, a store or an API while the file is parsed."""
    if file.is_test:
        return
    seen: set[str] = set()
    for loop, over, body in _loops(file):
        if not file.reaches.of(loop) & Reach.PARSING or not _makes_tasks(file, variables(over), body):
            continue
        asked = asked_outside(file, over.iter)
        if asked is None:
            continue
        text = file.source.code(asked)
        if text in seen:
            continue
        seen.add(text)
        yield file.finding(
            "MAP107",
            asked,
            f"The tasks of this DAG depend on the answer of {_short(text)}, each time that Airflow parses the file: "
            "without an answer the DAG disappears, and with another answer tasks of running DAG runs come and go",
            "Ask in a task, and map over its result: @task def items(): ...; work.expand(item=items())",
            related=[file.related(loop, "the loop that creates tasks")],
        )


def _loops(file: File) -> Iterator[tuple[ast.AST, ast.For | ast.comprehension, ast.AST]]:
    """Yield the loops of a file, each with what it goes over and what is done in its turns."""
    for loop in file.source.all(ast.For):
        yield loop, loop, loop
    for made in file.source.all(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp):
        for over in made.generators:  # type: ignore[attr-defined]
            yield made, over, made


def loop_that_could_be_mapped(file: File) -> Iterator[Finding]:
    """Yield loops that create one task per item."""
    if file.is_test:
        return
    for loop in file.source.all(ast.For):
        if not file.reaches.of(loop) & Reach.PARSING:
            continue
        if len(list(_tasks_in(file, variables(loop), loop))) == 1 and not asked_outside(file, loop.iter):
            yield file.finding(
                "MAP402",
                loop,
                "A loop creates a task for each item when Airflow parses the file",
                "Map one task over the items: .partial(...).expand(...)",
                severity="info",
            )


def _makes_tasks(file: File, names: set[str], body: ast.AST) -> bool:
    if next(iter(_tasks_in(file, names, body)), None) is not None:
        return True
    for one in ast.walk(body):
        if isinstance(one, ast.Call):
            if origin(file.source, one.func).rpartition(".")[2] in {"DAG", "TaskGroup"}:
                return True
            function = function_of(file.source, one.func)
            if function is not None and reads(one, names) and _makes_an_operator(file, function):
                return True
    return False


def _makes_an_operator(file: File, function: ast.AST) -> bool:
    """Tell whether a function makes a task each time that it is called, or a DAG."""
    if file.reaches.kind(function):
        return False
    inside = {id(one) for one in ast.walk(function)}
    if any(file.reaches.kind(one) == "dag" for one in ast.walk(function)):
        return True
    return any(id(one.call) in inside and file.reaches.of(one.call) & Reach.PARSING for one in file.made)


def _tasks_in(file: File, names: set[str], body: ast.AST) -> Iterator[ast.Call]:
    inside = {id(one) for one in ast.walk(body)}
    for one in file.made:
        if id(one.call) in inside and any(reads(value, names) for value in one.given.values()):
            yield one.call
    for node in ast.walk(body):
        if isinstance(node, ast.Call):
            function = defined(file.source, node.func)
            if file.reaches.kind(function) == "task" and any(
                reads(value, names) for value in [*node.args, *(keyword.value for keyword in node.keywords)]
            ):
                yield node


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004


RULES = (
    Rule(
        "MAP107",
        "tasks-from-outside",
        "The tasks of a DAG depend on a database, a store or an API at parse time.",
        "warning",
        tasks_from_outside,
    ),
    Rule(
        "MAP402",
        "loop-instead-of-map",
        "A loop creates one task per item at parse time.",
        "info",
        loop_that_could_be_mapped,
        on=False,
    ),
)
