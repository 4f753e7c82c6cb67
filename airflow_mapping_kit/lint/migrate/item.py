"""An item in place of a run: a task reads from the item what it read from its run's `conf`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions
from airflow_mapping_kit.lint.migrate.conf import arguments, reads
from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.lint.migrate.changes import Changes
    from airflow_mapping_kit.lint.migrate.conf import Function, Reads
    from airflow_mapping_kit.lint.migrate.dags import Dag
    from airflow_mapping_kit.lint.migrate.trigger import Trigger

_A_FIELD = re.compile(
    r"""["']\{\{\s*(?P<of>dag_run\.conf|params)(?:\.(?!get\b)(\w+)|\[["'](\w+)["']\]|\.get\(["'](\w+)["']\))\s*\}\}["']"""
)
_TEMPLATES = ("dag_run.conf", "params.", "params[")


def takes_the_item(
    sub: Dag,
    changes: Changes,
    function: Function,
    trigger: Trigger,
    fields: Mapping[str, str],
    *,
    always: bool,
) -> bool:
    """Let a function read an item where it read its run; return whether it reads params that the DAG declares.

    :param fields: arguments that were templates of a field of the run's `conf`, and the field.
    """
    found = reads(sub.source, function)
    for node in found.conf:
        changes.replace(node, trigger.conf)
    gone = {"dag_run", *_reading_params(sub, changes, function, found, trigger)}
    gone -= {name for _, name in found.others}
    gone |= set(fields)
    for name, key in fields.items():
        code = f'{trigger.conf}["{key}"]'
        is_native = "render_template_as_native_obj" in sub.given
        functions.begins_with(changes, function, f"{name} = {code if is_native else f'str({code})'}")
    for node, name in found.others:
        changes.todo(
            node,
            f"`{name}` is the same for all items now. In {sub.dag_id} each run had its own: is that a problem here?",
        )
    for node in found.pulls:
        changes.todo(
            node,
            "xcom_pull returns the results of all items: pass the result of this item's task as an argument.",
        )
    if always or found.conf or found.params:
        names = {one.arg for one in arguments(function)}
        functions.takes(changes, function, [f"{trigger.item}: dict"], gone & names)
    return "params" in sub.given and bool(found.params)


def _reading_params(
    sub: Dag, changes: Changes, function: Function, found: Reads, trigger: Trigger
) -> set[str]:
    """Let a function read an item where it read params; return the arguments that it needs no more."""
    if "params" not in sub.given:
        for node in found.params:
            changes.replace(node, trigger.conf)
        return {"params"}
    for node in found.params:
        if not isinstance(node, ast.Name):
            changes.replace(node, f"{{**{sub.source.code(node)}, **{trigger.conf}}}")
    if any(isinstance(node, ast.Name) for node in found.params):
        functions.begins_with(changes, function, f"params = {{**params, **{trigger.conf}}}")
    return set()


def field(sub: Dag, value: str) -> str:
    """Return the field of a run's `conf` that a template is, and nothing else; else nothing."""
    found = _A_FIELD.fullmatch(value)
    if found is None or (found["of"] == "params" and "params" in sub.given):
        return ""
    return next(name for name in found.groups()[1:] if name)


def reads_a_run(text: str) -> bool:
    """Tell whether a text is a template that reads a run's `conf` or params."""
    return "{{" in text and any(one in text for one in _TEMPLATES)


def templates(changes: Changes, node: ast.AST, sub: Dag) -> None:
    """Mark templates that read a run's `conf`, for Jinja has no item, and those that read an XCom of the group."""
    own = set(sub.walk())
    for read in ast.walk(node):
        said = value_of(sub.source, read)
        value = constant(said)
        if not isinstance(value, str) or sub.source.function_around(read) not in {None, sub.node}:
            continue
        # Of a variable that the DAG sets, where it sets it.
        one = said if said in own else read
        if reads_a_run(value):
            changes.todo(
                one,
                "this template reads a run's conf, which no longer has the item: pass the field of the item instead.",
            )
        if pulls(value):
            changes.todo(
                one,
                "this template has an xcom_pull, which returns None or the results of all items: name the task with "
                'its group ("group.task"), and pass map_indexes=ti.map_index.',
            )


def pulls(text: str) -> bool:
    """Tell whether a text is a template that reads an XCom."""
    return "xcom_pull" in text and ("{{" in text or "{%" in text)
