"""Arguments that Airflow renders: what becomes of them where their value comes from the item of a mapped group.

Airflow hands such a value on as it is. It renders no template in it, and reads no file that it names. A BashOperator of
Airflow 2 fails, for it looks at the text of its command before there is one.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.migrate.changes import Changes
    from airflow_mapping_kit.lint.migrate.differences import Difference

BASH_COMMAND = "bash_command"
_JINJA = re.compile(r"\{\{|\{%")
_FILE = re.compile(r"\S+\.(?:sql|hql|sh|bash)", re.IGNORECASE)


def todo(changes: Changes, node: ast.expr, one: Difference, argument: str) -> None:
    """Mark an argument that would get a template, or the name of a file, as it is."""
    texts = [
        part.value
        for text in one.texts
        for part in ast.walk(ast.parse(text.strip(), mode="eval"))
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    what = argument or one.name
    if argument == BASH_COMMAND:
        changes.todo(
            node,
            f"{what} can't come from the item if the operator looks at its text: return it from a function with "
            "@task.bash instead.",
        )
    elif any(map(_JINJA.search, texts)):
        changes.todo(
            node,
            f"{what} has a template, and Airflow renders none in a value of an item: pass the result of a @task that "
            f'returns context["task"].render_template({one.name}, context).',
        )
    elif any(map(_FILE.fullmatch, texts)):
        changes.todo(
            node,
            f"{what} names a file, and Airflow reads none that a value of an item names: put its text into the table.",
        )


def command(name: str) -> str:
    """Return a task that runs the command of an item, and renders the templates in it."""
    return f"@task.bash\ndef {name}({BASH_COMMAND}):\n    return {BASH_COMMAND}\n"


def run_by(changes: Changes, call: ast.Call, name: str, value: str) -> None:
    """Put the task that runs the command of an item in place of a BashOperator."""
    source = changes.source
    statement: ast.AST = call
    while not isinstance(statement, ast.stmt):
        statement = source.parents[statement]
    changes.comments_above(statement, call)
    settings = [
        f"{one.arg}={text}" if one.arg else f"**{text}"
        for one in call.keywords
        if one.arg != BASH_COMMAND
        for text in [changes.text(*source.span(one.value))]
    ]
    changes.replace(call, f"{name}.override({', '.join(settings)})({value})")
