"""Heavy imports that every mapped instance repeats: MAP110."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Edit, Finding, Fix
from airflow_mapping_kit.lint.reach import Reach
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.project import File


def heavy_import(file: File) -> Iterator[Finding]:
    """Yield heavy modules that a DAG file with mapped tasks imports at its top: each instance imports them."""
    if file.is_test or not file.defines_dags or all(file.in_a_task(one.call) for one in file.mapped):
        return
    for statement in file.source.tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        modules = (
            [alias.name for alias in statement.names]
            if isinstance(statement, ast.Import)
            else [statement.module or ""]
        )
        if isinstance(statement, ast.ImportFrom) and statement.level:
            continue
        heavy = [module for module in modules if module.partition(".")[0] in file.settings.heavy_modules]
        if heavy:
            yield file.finding(
                "MAP110",
                statement,
                f"Every parse of this file imports {heavy[0]}: in the DAG processor each time, and in every mapped "
                "instance",
                "Import it inside the functions that use it",
                severity="info",
                fix=_moved(file, statement),
            )


def _moved(file: File, statement: ast.Import | ast.ImportFrom) -> Fix | None:
    """Return the fix that imports in the tasks that use it, `None` where something else does too, or nothing."""
    source = file.source
    alias = statement.names[0]
    name = alias.asname or alias.name.partition(".")[0]
    start, end = source.span(statement)
    line_end = source.offset(statement.end_lineno or statement.lineno, 0) + len(
        source.lines[(statement.end_lineno or statement.lineno) - 1]
    )
    alone = statement.col_offset == 0 and not source.text[end:line_end].strip()
    if len(statement.names) != 1 or not alone or len(source.scopes[source.tree].names.get(name, ())) != 1:
        return None
    users: dict[ast.FunctionDef | ast.AsyncFunctionDef, None] = {}
    for node in source.all(ast.Name):
        found = source.lookup(node) if node.id == name else None
        if found is None or found[0].node is not source.tree or not isinstance(node.ctx, ast.Load):
            continue
        user = _outermost_in_a_task(file, node)
        if user is None:
            return None
        users[user] = None
    edits = [Edit(start, line_end, "")]
    for function in users:
        first = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        if not first:
            return None
        line = min([first[0].lineno, *(one.lineno for one in getattr(first[0], "decorator_list", ()))])
        indent = re.match(r"[ \t]*", source.lines[line - 1])
        at = source.offset(line, 0)
        if (
            indent is None
            or line == function.lineno
            or source.text[at : source.offset(line, first[0].col_offset)].strip() not in {"", "@"}
        ):
            return None
        edits.append(Edit(at, at, f"{indent[0]}{source.code(statement)}\n\n"))
    return Fix(tuple(edits), safe=True) if users else None


def _outermost_in_a_task(file: File, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the outermost function around a node that runs in tasks alone, `None` where there is none."""
    found = None
    function = file.source.function_around(node)
    while function is not None:
        if file.reaches.of_function(function) == Reach.TASK and isinstance(
            function, ast.FunctionDef | ast.AsyncFunctionDef
        ):
            found = function
        elif found is not None:
            break
        function = file.source.function_around(function)
    return found


RULES = (
    Rule(
        "MAP110",
        "heavy-import",
        "A heavy module is imported at the top of a DAG file with mapped tasks.",
        "info",
        heavy_import,
    ),
)
