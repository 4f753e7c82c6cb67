"""Mapped triggers whose items choose the DAG."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import defined, value_of

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File


def routes(file: File, one: Mapped) -> bool:
    """Tell whether the items choose the DAG."""
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
