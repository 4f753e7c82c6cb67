"""The DAG, or the task, that asked until all runs had ended: what follows it reads the report of a fan-in."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions
from airflow_mapping_kit.lint.migrate.conf import Function, Reads, arguments, reads
from airflow_mapping_kit.lint.migrate.module import ROWS
from airflow_mapping_kit.lint.migrate.waiting import asked, waiting
from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import bindings, defined, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.lint.migrate.changes import Changes
    from airflow_mapping_kit.lint.migrate.dags import Dag
    from airflow_mapping_kit.lint.migrate.trigger import Trigger
    from airflow_mapping_kit.lint.migrate.waiting import Followed
    from airflow_mapping_kit.lint.source import Source


def reading_a_report(
    changes: Changes, dag: Dag, trigger: Trigger, sub_id: str, report: str, given: Mapping[str, str] | None
) -> None:
    """Let what followed a poll read the report of a fan-in, and leave out the poll.

    :param report: what the report is called.
    :param given: what the DAG was started with, as code; `None` of the DAG that started the runs itself.
    """
    gone = waiting(dag, sub_id)
    added: dict[ast.AST, dict[str, str]] = {}
    for function in [one for one in _tasks(dag) if one not in gone.functions]:
        if given is not None or any(asked(dag.source, function, sub_id)):
            added[function] = _reading(dag, changes, function, trigger, sub_id, report, given)
    for node in dag.walk():
        if not isinstance(node, ast.Call):
            continue
        called = defined(dag.source, node.func)
        if called is not None and called in added:
            functions.given(changes, node, added[called])
        called = defined(dag.source, keywords(node).get("python_callable"))
        if node not in gone.sensors and called is not None and any(asked(dag.source, called, sub_id)):
            changes.todo(
                node,
                f"{called.name} reads the runs of {sub_id}, which no longer exist: read rows({report}) instead.",
            )
    for statement in dag.body:
        _without_waiting(changes, statement, gone, added, report)


def fields(source: Source, conf: ast.expr | None) -> dict[str, str]:
    """Return the fields of a literal `conf`, as code."""
    if not isinstance(conf, ast.Dict):
        return {}
    return {
        key.value: source.code(value)
        for key, value in zip(conf.keys, conf.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _tasks(poll: Dag) -> list[Function]:
    return [one for one in poll.walk() if isinstance(one, Function) and poll.reaches.kind(one) == "task"]


def _reading(
    poll: Dag, changes: Changes, function: Function, trigger: Trigger, sub_id: str, report: str,
    given: Mapping[str, str] | None,
) -> dict[str, str]:  # fmt: skip
    """Let a function read arguments where it read its run and the states of runs; return what it is given."""
    source, found = poll.source, reads(poll.source, function)
    new: dict[str, str] = {}
    if given is None:
        # It is the same run that it was.
        found, given = Reads(), {}
    for node in found.conf:
        whole, name = _field(source, node)
        if name in given and name.isidentifier():
            changes.replace(whole, name)
            new[name] = given[name]
        else:
            changes.todo(
                node,
                f"the trigger of {poll.dag_id} passed no such field, as far as the lint can see: pass it here.",
            )
    asking = list(asked(source, function, sub_id))
    if asking:
        new.update(_states(poll, changes, function, asking, trigger, report, new))
    for node, name in found.others:
        changes.todo(
            node,
            f"`{name}` is now the value of this run, no longer of the run of {poll.dag_id}: is that a problem here?",
        )
    names = {one.arg for one in arguments(function)}
    is_kept = not found.conf or any(name == "dag_run" for _, name in found.others)
    gone = set() if is_kept else {"dag_run"} & names
    if new or gone:
        kinds = {"report": "dict"}
        functions.takes(
            changes, function, [f"{name}: {kinds[name]}" if name in kinds else name for name in new], gone
        )
    return {name: value for name, value in new.items() if name not in names}


def _field(source: Source, node: ast.expr) -> tuple[ast.expr, str]:
    """Return the expression that reads a field of the run's `conf`, and the field."""
    parent = source.parents[node]
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return parent, str(constant(parent.slice))
    call = source.parents.get(parent)
    if (
        isinstance(parent, ast.Attribute)
        and parent.attr == "get"
        and isinstance(call, ast.Call)
        and call.args
    ):
        return call, str(constant(call.args[0]))
    return node, ""


def _states(
    poll: Dag, changes: Changes, function: Function, asking: list[ast.Call], trigger: Trigger, report: str,
    new: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    """Let a function read the rows of the report where it asked for the states of runs."""
    found = [(_whole(poll.source, call), _run_id(poll.source, call)) for call in asking]
    if not trigger.has_conf or not all(run_id is not None for _, run_id in found):
        for call in asking:
            changes.todo(call, "take the states from rows(report), in the order of the items: row['state'].")
        return {"report": report}
    taken = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | set(new)
    states = functions.free(["states", "states_of_runs"], taken)
    items = next((name for name, code in new.items() if code == trigger.items), None)
    given = {"report": report}
    if items is None:
        items = functions.free(["runs", "started_runs"], taken)
        given[items] = trigger.items
    run, row = functions.free(["run", "started"], {items, states}), "row"
    line = (
        f"{states} = {{\n"
        f'    {run}["trigger_run_id"]: "success" if {row}["state"] in {{"success", "skipped"}} else "failed"\n'
        f"    for {run}, {row} in zip({items}, {ROWS}(report), strict=True)\n"
        f"}}"
    )
    functions.begins_with(changes, function, line)
    for node, run_id in found:
        changes.replace(node, f"{states}[{poll.source.code(run_id)}]")  # type: ignore[arg-type]
    return given


def _whole(source: Source, call: ast.Call) -> ast.expr:
    """Return the state that a call gives: of `DagRun.find(...)[0].state` all of it."""
    one: ast.AST = source.parents[call]
    if isinstance(one, ast.Subscript) and one.value is call:
        outer = source.parents[one]
        if isinstance(outer, ast.Attribute) and outer.attr in {"state", "get_state"}:
            around = source.parents[outer]
            return around if isinstance(around, ast.Call) and around.func is outer else outer
    return call


def _run_id(source: Source, call: ast.Call) -> ast.expr | None:
    """Return the one argument of a call that isn't a literal: which run it asks for."""
    values = [one for one in (*call.args, *keywords(call).values()) if not isinstance(one, ast.Constant)]
    names = {"DagRun.find", "DagRun"}
    if any(origin(source, call.func).endswith(name) for name in names) and _whole(source, call) is call:
        return None
    return values[0] if len(values) == 1 else None


def _without_waiting(
    changes: Changes,
    statement: ast.stmt,
    gone: Followed,
    added: Mapping[ast.AST, Mapping[str, str]],
    report: str,
) -> None:
    """Leave out a task that waited, and let the fan-in stand where it stood."""
    source = changes.source
    if any(statement is one for one in gone.functions) or getattr(statement, "value", None) in gone.sensors:
        changes.leave_out(statement)
        for target in getattr(statement, "targets", []):
            _renamed(changes, target, report)
        return
    for node in ast.walk(statement):
        if any(node is one for one in gone.sensors):
            parent = source.parents[node]
            if (
                isinstance(parent, ast.BinOp)
                and parent.left is node
                and _takes_a_report(source, parent.right, added)
            ):
                # It waits for what it is given.
                changes.replace_at(source.span(node)[0], source.span(parent.right)[0], "")
            else:
                changes.replace(node, report)


def _takes_a_report(source: Source, node: ast.expr, added: Mapping[ast.AST, Mapping[str, str]]) -> bool:
    function = defined(source, node.func) if isinstance(node, ast.Call) else None
    return function is not None and "report" in added.get(function, {})


def _renamed(changes: Changes, target: ast.AST, name: str) -> None:
    """Let all that reads a variable of a DAG's body read another one."""
    if isinstance(target, ast.Name):
        for one in changes.source.all(ast.Name):
            if one is not target and one.id == target.id and target in bindings(changes.source, one):
                changes.replace(one, name)
