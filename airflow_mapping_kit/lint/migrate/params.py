"""The params of one DAG, with those of another one whose tasks it has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions
from airflow_mapping_kit.lint.operators import constant

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.migrate.changes import Changes
    from airflow_mapping_kit.lint.migrate.dags import Dag


def of_both(changes: Changes, main: Dag, other: Dag) -> None:
    """Give a DAG the params of another one; mark what both call alike and set otherwise."""
    own, its = main.given.get("params"), other.given["params"]
    call = _call(main)
    if own is None:
        if isinstance(call, ast.Call):
            functions.added(changes, call, {"params": other.source.code(its)})
        else:
            changes.replace(call, f"{changes.source.code(call)}(params={other.source.code(its)})")
        return
    if not isinstance(own, ast.Dict) or not isinstance(its, ast.Dict) or None in {*own.keys, *its.keys}:
        changes.todo(
            main.node,
            f"add the params of {other.dag_id} here: {' '.join(other.source.code(its).split())}",
        )
        return
    mine = {constant(key): main.source.code(value) for key, value in zip(own.keys, own.values, strict=True)}
    new = []
    for key, value in zip(its.keys, its.values, strict=True):
        code = other.source.code(value)
        if constant(key) not in mine:
            new.append(f"{other.source.code(key)}: {code}")  # type: ignore[arg-type]
        elif mine[constant(key)] != code:
            changes.todo(
                main.node,
                f"param {constant(key)!r} of {other.dag_id} was {' '.join(code.split())}, and both DAGs have it: "
                "choose one value.",
            )
    if not new:
        return
    if not own.values:
        changes.replace(own, f"{{{', '.join(new)}}}")
        return
    end, first = main.source.span(own.values[-1])[1], own.keys[0]
    apart = ", " if own.lineno == own.end_lineno else ",\n" + " " * first.col_offset  # type: ignore[union-attr]
    changes.replace_at(end, end, "".join(f"{apart}{one}" for one in new))


def _call(dag: Dag) -> ast.expr:
    """Return the call that makes a DAG, or the decorator that no call follows."""
    if isinstance(dag.node, ast.With):
        return dag.node.items[0].context_expr
    kinds = [one for one in dag.node.decorator_list if "dag" in dag.source.code(one).partition("(")[0]]
    return kinds[0]
