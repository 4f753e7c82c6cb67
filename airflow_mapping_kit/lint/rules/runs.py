"""A run of another DAG an item: MAP001."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.triggers import as_per_item, pollers, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

_TRIGGER = "TriggerDagRunOperator"
_MULTI = re.compile(r"\w*Multi\w*DagRun\w*Operator")
_RUNS_OF_A_DAG = "dagRuns"
_PER_ITEM = (
    "Map a task over the items in this DAG: `@task.batched` with `collect`; or, where the other DAG has to stay, "
    "TriggerDagRunPerItemOperator"
)


def a_run_an_item(file: File) -> Iterator[Finding]:
    """Yield where a run of another DAG is started for each item."""
    if file.is_test:
        return
    yield from _mapped(file)
    yield from _multi(file)
    yield from _made_in_a_loop(file)
    yield from _started_in_a_task(file)


def _mapped(file: File) -> Iterator[Finding]:
    for one in file.mapped:
        if one.name != _TRIGGER and not _MULTI.fullmatch(one.name):
            continue
        if "trigger_dag_id" in one.over or _routes(file, one):
            continue
        yield file.finding(
            "MAP001",
            one.call,
            f"Each mapped instance starts a run of another DAG{said(one.fixed.get('trigger_dag_id'))}: a run "
            "costs more "
            "than the work of most items, and nobody adds up what became of them",
            _PER_ITEM,
            related=pollers(file, one.fixed.get("trigger_dag_id")),
            fix=as_per_item(file, one),
        )


def _routes(file: File, one: Mapped) -> bool:
    """Tell whether the items say which DAG each is for."""
    if one.sets is None:
        return False
    if "trigger_dag_id" not in one.fixed:
        return True
    return _holds(file, one.sets, "trigger_dag_id")


def _holds(file: File, node: ast.expr, name: str) -> bool:
    """Tell whether a list, or the function that makes it, names a key of its items."""
    value = value_of(file.source, node)
    looked_into: list[ast.AST] = [value] if value is not None else []
    if isinstance(value, ast.Call):
        function = defined(file.source, value.func)
        if function is not None:
            looked_into.append(function)
    return any(
        isinstance(one, ast.Constant) and one.value == name for each in looked_into for one in ast.walk(each)
    )


def _multi(file: File) -> Iterator[Finding]:
    for one in file.made:
        if _MULTI.fullmatch(one.name) and file.reaches.of(one.call) & Reach.PARSING:
            yield file.finding(
                "MAP001",
                one.call,
                f"{one.name} starts a run of another DAG{said(one.given.get('trigger_dag_id'))} for each item",
                _PER_ITEM,
            )


def _made_in_a_loop(file: File) -> Iterator[Finding]:
    for one in file.made:
        if one.name != _TRIGGER or not file.reaches.of(one.call) & Reach.PARSING:
            continue
        for loop in loops_around(file.source, one.call):
            names = variables(loop)
            conf, dag_id = one.given.get("conf"), one.given.get("trigger_dag_id")
            if reads(dag_id, names) or reads(one.given.get("dag"), names) or dag_id is None:
                break
            if reads(conf, names):
                yield file.finding(
                    "MAP001",
                    one.call,
                    f"A loop makes a task an item, each of which starts a run of {_dag(dag_id)}",
                    _PER_ITEM,
                    related=[file.related(_shown(loop), "the loop")],
                )
                break


def _started_in_a_task(file: File) -> Iterator[Finding]:
    mapped_functions = {one.function for one in file.mapped if one.function is not None}
    for call in file.source.all(ast.Call):
        dag_id = _started(file, call)
        if dag_id is None or file.reaches.of(call) != Reach.TASK:
            continue
        found = _turn(file, call, dag_id)
        if found is not None:
            yield file.finding(
                "MAP001",
                call,
                f"A run of {_dag(dag_id)} is started in each turn of a loop within a task: a retry starts them "
                "again, and "
                "nobody adds up what became of them",
                _PER_ITEM,
                related=[file.related(found, "the loop")],
            )
        elif file.source.function_around(call) in mapped_functions and isinstance(dag_id, ast.Constant):
            yield file.finding(
                "MAP001",
                call,
                f"Each mapped instance starts a run of {_dag(dag_id)}: a run costs more than the work of most "
                "items, and "
                "nobody adds up what became of them",
                _PER_ITEM,
            )


def _turn(file: File, call: ast.Call, dag_id: ast.expr) -> ast.AST | None:
    """Return the loop in which a call starts a run an item, also where a function is called in it that does."""
    source = file.source
    for loop in loops_around(source, call):
        if isinstance(loop, ast.While):
            continue
        names = variables(loop)
        if reads(dag_id, names):
            return None
        if any(reads(one, names) for one in _values(call)):
            return _shown(loop)
    function = source.function_around(call)
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    given = function.args
    if reads(dag_id, {one.arg for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]}):
        return None
    return _turn_that_calls(file, function)


def _turn_that_calls(file: File, function: ast.AST) -> ast.AST | None:
    """Return the loop in a task that calls a function for each item."""
    for call in file.source.all(ast.Call):
        if defined(file.source, call.func) is not function or file.reaches.of(call) != Reach.TASK:
            continue
        for loop in loops_around(file.source, call):
            if not isinstance(loop, ast.While) and any(reads(one, variables(loop)) for one in _values(call)):
                return _shown(loop)
    return None


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _shown(loop: ast.For | ast.AsyncFor | ast.While | ast.comprehension) -> ast.AST:
    """Return the node that shows where a loop is: a comprehension has no place of its own."""
    return loop.target if isinstance(loop, ast.comprehension) else loop


def _started(file: File, call: ast.Call) -> ast.expr | None:
    """Return which DAG a call starts a run of, `None` if it starts none."""
    path = origin(file.source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    given = keywords(call)
    if name == "trigger_dag" and not path.startswith("."):
        return given.get("dag_id") or (call.args[0] if call.args else None)
    if name == "post":
        address = given.get("url") or (call.args[0] if call.args else None)
        value = value_of(file.source, address)
        texts = (
            [one.value for one in ast.walk(value) if isinstance(one, ast.Constant)]
            if value is not None
            else []
        )
        if any(
            isinstance(text, str) and _RUNS_OF_A_DAG in text and "/dagRuns/" not in text for text in texts
        ):
            return value  # type: ignore[return-value]
    return None


def _dag(node: ast.expr) -> str:
    value = constant(node)
    return repr(value) if isinstance(value, str) and len(value) <= 80 else "another DAG"  # noqa: PLR2004


RULES = (
    Rule(
        "MAP001", "run-per-item", "A run of another DAG is started for each item.", "warning", a_run_an_item
    ),
)
