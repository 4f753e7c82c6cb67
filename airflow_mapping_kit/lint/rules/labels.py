"""Mapped tasks without a label: MAP108."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Edit, Finding, Fix
from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.project import File


def without_label(file: File) -> Iterator[Finding]:
    """Yield mapped tasks without a label, whose instances the grid shows as numbers."""
    for one in file.mapped:
        if "map_index_template" in one.fixed or "map_index_template" in one.over:
            continue
        if one.function is not None:
            decorator = task_decorator(file.source, one.function)
            if decorator is None or _has_a_label_by_itself(decorator[0]):
                continue
            node = decorator[1]
            if isinstance(node, ast.Call) and any(
                keyword.arg in {None, "map_index_template"} for keyword in node.keywords
            ):
                continue
            edit = _argument(file, node)
        elif one.name and one.name[:1].isupper():
            partial = _partial(one.call)
            if partial is None or any(keyword.arg is None for keyword in partial.keywords):
                continue
            edit = _argument(file, partial)
        else:
            continue
        yield file.finding(
            "MAP108",
            one.call,
            f"The instances of {one.name} have no label: the grid shows only their numbers",
            'Set map_index_template=label(), or label("{country} {date}")',
            severity="info",
            fix=Fix((edit,), safe=True, imports=(("airflow_mapping_kit.labels", "label"),)) if edit else None,
        )


def _has_a_label_by_itself(path: str) -> bool:
    return path.rpartition(".")[2] in {"batched", "generator"}


def _partial(call: ast.Call) -> ast.Call | None:
    node: ast.AST = call
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "partial":
            return node
        node = node.func.value
    return None


def _argument(file: File, node: ast.expr) -> Edit | None:
    """Return the edit that gives a decorator, or a call, the argument."""
    start, end = file.source.span(node)
    if not isinstance(node, ast.Call):
        return Edit(end, end, "(map_index_template=label())")
    if not file.source.text[start:end].endswith(")"):
        return None
    if not node.args and not node.keywords:
        return Edit(end - 1, end - 1, "map_index_template=label()")
    last = max(
        file.source.span(one)[1] for one in [*node.args, *(keyword.value for keyword in node.keywords)]
    )
    between = file.source.text[last : end - 1]
    # Behind a comma that is there already, on a line of its own where the others are.
    if between.strip() == "," and "#" not in between:
        indent = re.match(
            r"\s*", file.source.lines[node.keywords[-1].value.lineno - 1] if node.keywords else ""
        )
        at = last + between.index(",") + 1
        newline = "\n" in between
        return Edit(
            at,
            at,
            f"{chr(10) + (indent[0] if indent else '') if newline else ' '}map_index_template=label(),",
        )
    return None if between.strip() else Edit(last, last, ", map_index_template=label()")


RULES = (Rule("MAP108", "no-label", "A mapped task has no label.", "info", without_label, on=False),)
