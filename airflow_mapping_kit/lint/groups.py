"""Task groups that a file maps."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import BEFORE, EXPAND
from airflow_mapping_kit.lint.origins import defined, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mapping_kit.lint.operators import Made
    from airflow_mapping_kit.lint.reach import Reaches
    from airflow_mapping_kit.lint.source import Source


def mapped_groups(
    source: Source, reaches: Reaches
) -> Iterator[tuple[ast.Call, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the calls by which a file maps task groups, and the function of each."""
    for call in source.all(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in EXPAND):
            continue
        base: ast.AST | None = value_of(source, call.func.value)
        while (
            isinstance(base, ast.Call) and isinstance(base.func, ast.Attribute) and base.func.attr in BEFORE
        ):
            base = value_of(source, base.func.value)
        function = defined(source, base)
        if (
            not isinstance(function, ast.ClassDef)
            and function is not None
            and reaches.kind(function) == "task_group"
        ):
            yield call, function


def made_in_mapped_groups(
    source: Source, reaches: Reaches, made: Iterable[Made]
) -> Iterator[tuple[Made, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the operators that are made in a mapped task group, and the group's function."""
    groups = {function for _, function in mapped_groups(source, reaches)}
    for one in made if groups else ():
        around = source.function_around(one.call)
        if around in groups:
            yield one, around  # type: ignore[misc]
