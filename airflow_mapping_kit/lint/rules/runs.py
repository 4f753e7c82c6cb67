"""A run of another DAG for each item: MAP001."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.groups import made_in_mapped_groups
from airflow_mapping_kit.lint.kinds import opens
from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import defined, value_of
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.routes import routes
from airflow_mapping_kit.lint.rules.started import addressed, commanded, started
from airflow_mapping_kit.lint.rules.triggers import as_per_item, pollers, said
from airflow_mapping_kit.lint.rules.turns import an_instance_each, arguments, shown, turn, turns_differ

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.loops import Loop
    from airflow_mapping_kit.lint.project import File

_TRIGGER = "TriggerDagRunOperator"
_MULTI = re.compile(r"\w*Multi\w*DagRun\w*Operator")
_BASH = "BashOperator"
_PER_ITEM = (
    "Map a task over the items in this DAG: `@task.batched` with `collect`. If the other DAG must stay, use "
    "TriggerDagRunPerItemOperator"
)


def a_run_an_item(file: File) -> Iterator[Finding]:
    """Yield where a run of another DAG is started for each item."""
    if file.is_test:
        return
    yield from _mapped(file)
    yield from _multi(file)
    yield from _made_in_a_loop(file)
    yield from _in_a_mapped_group(file)
    yield from _by_an_operator_of_another_kind(file)
    yield from _started_in_a_task(file)


def _mapped(file: File) -> Iterator[Finding]:
    for one in file.mapped:
        if one.name != _TRIGGER and not _MULTI.fullmatch(one.name):
            continue
        if "trigger_dag_id" in one.over or routes(file, one):
            continue
        yield file.finding(
            "MAP001",
            one.call,
            f"Each mapped instance starts a run of another DAG{said(one.fixed.get('trigger_dag_id'))}: a run "
            "costs more than the work on most items, and no task reports the outcome of all runs",
            _PER_ITEM,
            related=pollers(file, one.fixed.get("trigger_dag_id")),
            fix=as_per_item(file, one),
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
        for loop in _loops_of_one_dag(file, one.call):
            names = variables(loop)
            conf, dag_id = one.given.get("conf"), one.given.get("trigger_dag_id")
            if reads(dag_id, names) or reads(one.given.get("dag"), names) or dag_id is None:
                break
            if reads(conf, names):
                yield _a_task_an_item(file, one.call, dag_id, loop)
                break


def _loops_of_one_dag(file: File, call: ast.Call) -> Iterator[Loop]:
    """Yield the loops that make a call again and again in one and the same DAG."""
    of_dag = next((one for one in file.source.above(call) if opens(one, "DAG")), None)
    outside = set() if of_dag is None else set(file.source.above(of_dag))
    return (one for one in loops_around(file.source, call) if one not in outside)


def _started_in_a_task(file: File) -> Iterator[Finding]:
    for call in file.source.all(ast.Call):
        dag_id = started(file, call)
        if dag_id is None or file.reaches.of(call) != Reach.TASK or turns_differ(file, call, dag_id):
            continue
        found = turn(file, call, dag_id)
        if found is not None:
            yield file.finding(
                "MAP001",
                call,
                f"A loop in a task starts a run of {_dag(file, dag_id)} for each item: a retry of the task starts all "
                "of them again, and no task reports the outcome of all runs",
                _PER_ITEM,
                related=[file.related(found, "the loop")],
            )
        elif an_instance_each(file, call, dag_id):
            yield _an_instance_each(file, call, dag_id)


def _an_instance_each(file: File, node: ast.Call, dag_id: ast.expr | None) -> Finding:
    return file.finding(
        "MAP001",
        node,
        f"Each mapped instance starts a run of {_dag(file, dag_id)}: a run costs more than the work on most items, and "
        "no task reports the outcome of all runs",
        _PER_ITEM,
    )


def _in_a_mapped_group(file: File) -> Iterator[Finding]:
    for one, group in made_in_mapped_groups(file.source, file.reaches, file.made):
        dag_id = one.given.get("trigger_dag_id")
        if one.name == _TRIGGER and dag_id is not None and not reads(dag_id, arguments(group)):
            yield _an_instance_each(file, one.call, dag_id)


def _by_an_operator_of_another_kind(file: File) -> Iterator[Finding]:
    """Yield tasks that run `airflow dags trigger`, or post to the runs of a DAG, one an item."""
    for one in file.made:
        dag_id = _said_by(file, one.name, one.given)
        if dag_id is None or not file.reaches.of(one.call) & Reach.PARSING:
            continue
        rest = [value_of(file.source, value) for name, value in one.given.items() if name != "task_id"]
        for loop in _loops_of_one_dag(file, one.call):
            names = variables(loop)
            if not reads(dag_id, names) and any(reads(value, names) for value in rest):
                yield _a_task_an_item(file, one.call, dag_id, loop)
                break
    for each in file.mapped:
        dag_id = _said_by(file, each.name, each.fixed)
        if dag_id is None and each.name == _BASH:
            dag_id = _of_commands(file, each.over.get("bash_command"))
        if dag_id is not None and (
            each.name != _BASH or isinstance(value_of(file.source, dag_id), ast.Constant)
        ):
            yield _an_instance_each(file, each.call, dag_id)


def _said_by(file: File, name: str, given: Mapping[str, ast.expr]) -> ast.expr | None:
    """Return which DAG an operator starts a run of that is no trigger."""
    if name == _BASH:
        return commanded(file, given.get("bash_command"))
    return addressed(file, given.get("endpoint")) if name.endswith("HttpOperator") else None


def _a_task_an_item(file: File, call: ast.Call, dag_id: ast.expr, loop: Loop) -> Finding:
    return file.finding(
        "MAP001",
        call,
        f"A loop creates a task for each item, and each task starts a run of {_dag(file, dag_id)}",
        _PER_ITEM,
        related=[file.related(shown(loop), "the loop")],
    )


def _of_commands(file: File, node: ast.expr | None) -> ast.expr | None:
    """Return which DAG a list of commands triggers, as the list or the function that makes it says."""
    value = value_of(file.source, node)
    looked_into: list[ast.AST | None] = [value]
    if isinstance(value, ast.Call):
        looked_into.append(defined(file.source, value.func))
    texts = (one for each in looked_into if each is not None for one in ast.walk(each))
    found = (
        commanded(file, one) for one in texts if isinstance(one, ast.JoinedStr | ast.Constant | ast.Call)
    )
    return next((one for one in found if one is not None), None)


def _dag(file: File, node: ast.expr | None) -> str:
    value = constant(value_of(file.source, node))
    return repr(value) if isinstance(value, str) and len(value) <= 80 else "another DAG"  # noqa: PLR2004


RULES = (
    Rule(
        "MAP001", "run-per-item", "A run of another DAG is started for each item.", "warning", a_run_an_item
    ),
)
