"""The fan-in, which takes the place of the DAG or task that polled."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions, needed
from airflow_mapping_kit.lint.migrate.changes import TODO, Changes, extent
from airflow_mapping_kit.lint.migrate.module import COLLECT
from airflow_mapping_kit.lint.migrate.trigger import Trigger, of_poll, statement_of
from airflow_mapping_kit.lint.migrate.waiting import waiting
from airflow_mapping_kit.lint.operators import keywords
from airflow_mapping_kit.lint.origins import bindings

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.migrate.dags import Dag


def in_place_of_the_poll(
    changes: Changes, main: Dag, started: Dag, polling: Dag | None, trigger: Trigger, name: str
) -> tuple[str, str, ast.expr | None]:
    """Put the fan-in where the poll was; return the variable that it is, its code, and the poll's `conf`."""
    own = waiting(main, started.dag_id)
    follows = waiting(polling, started.dag_id) if polling is not None else own
    if polling is None and trigger.waits and not own.sensors:
        return name, "", None
    tolerance = "" if follows.raises else ", tolerated_failure_percentage=100"
    code = f"{COLLECT}({name}{tolerance})"
    call = of_poll(main, polling) if polling is not None else None
    indentation = " " * main.indentation
    if call is not None:
        statement = statement_of(main, call)
        changes.without_noqa(call)
        conf = keywords(call).get("conf")
        report = assigned(statement, call)
        if report:
            changes.replace(call, code)
            return report, code, conf
        report = _free_report(main)
        at = extent(main.source, statement)[0]
        changes.replace_at(at, at, f"{indentation}{report} = {code}\n")
        if isinstance(statement, ast.Expr) and statement.value is call:
            changes.leave_out(statement)
        else:
            changes.replace(call, report)
        return report, code, conf
    report = _free_report(main)
    end = extent(main.source, trigger.statement)[1]
    todo = ""
    if not follows.sensors:
        todo = (
            f"{indentation}{TODO}no task that can be read waited for the runs of {started.dag_id}. How many items "
            f"may fail?\n"
        )
    changes.replace_at(end, end, f"{todo}{indentation}{report} = {code}\n")
    return report, code, None


def _free_report(main: Dag) -> str:
    return functions.free(["report", "collected"], needed.names_of(main.source.tree))


def waits_for_the_report(changes: Changes, main: Dag, name: str, report: str) -> None:
    """Let what came after the trigger, which never failed for an item, come after the fan-in."""
    for statement in main.body:
        used = [one for one in ast.walk(statement) if isinstance(one, ast.Name) and one.id == name]
        value = getattr(statement, "value", None)
        is_chain = isinstance(statement, ast.Expr) and isinstance(value, ast.BinOp) and _only_names(value)
        if is_chain and needed.names_of(statement) == {name, report}:
            changes.leave_out(statement)
            continue
        for one in used:
            is_read = isinstance(one.ctx, ast.Load) and main.source.function_around(one) in {None, main.node}
            if is_read and bindings(main.source, one) and not _is_of_a_chain_with(one, main, report):
                changes.replace(one, report)


def _only_names(node: ast.AST) -> bool:
    return all(
        isinstance(one, ast.BinOp | ast.Name | ast.operator | ast.expr_context) for one in ast.walk(node)
    )


def _is_of_a_chain_with(one: ast.Name, main: Dag, report: str) -> bool:
    """Tell whether a chain goes on from the mapped task to the fan-in: it stays as it is."""
    parent = main.source.parents[one]
    return isinstance(parent, ast.BinOp) and report in needed.names_of(parent.right)


def assigned(statement: ast.stmt, value: ast.AST) -> str:
    """Return the variable that a statement sets to a value and nothing else; else nothing."""
    if isinstance(statement, ast.Assign) and statement.value is value and len(statement.targets) == 1:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else ""
    return ""
