"""What the rules on runs of other DAGs share: the name of a trigger's DAG, the tasks that poll it, and the fix."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Fix, Related
from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

_REPLACEMENT = "TriggerDagRunPerItemOperator"
# What any operator takes, and what the one that is mapped says of how it waits.
_KEPT = frozenset(
    "task_id trigger_dag_id retries retry_delay pool priority_weight queue trigger_rule dag doc_md "
    "allowed_states failed_states".split()
)
_GONE = frozenset({"wait_for_completion", "deferrable"})
_ASKS_FOR_RUNS = frozenset(
    {"ExternalTaskSensor", "get_dagrun_state", "get_dag_run_state", "get_dr_count", "get_state"}
)


def pollers(file: File, dag_id: ast.expr | None) -> list[Related]:
    """Return where the file polls the states of a DAG's runs."""
    wanted = constant(dag_id)
    found: list[Related] = []
    if not isinstance(wanted, str):
        return found
    for call in file.source.all(ast.Call):
        path = origin(file.source, call.func)
        name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
        if name not in _ASKS_FOR_RUNS and not path.endswith("DagRun.find"):
            continue
        if any(constant(one) == wanted for one in (*call.args, *keywords(call).values())):
            found.append(file.related(call, f"asks for the runs of {wanted!r}"))
    return found[:3]


def as_per_item(file: File, one: Mapped) -> Fix | None:
    """Return the fix that makes one task of a mapped trigger, `None` where that can't do the same.

    It is not safe: the task waits for its runs, deferred, and their ids are others.
    """
    partial = one.call.func.value  # type: ignore[attr-defined]
    start, end = file.source.span(one.call)
    if (
        list(one.over) != ["conf"]
        or not isinstance(partial, ast.Call)
        or getattr(partial.func, "attr", "") != "partial"
        or isinstance(partial.func.value, ast.Call)  # type: ignore[attr-defined]
        or any(keyword.arg is None for keyword in (*partial.keywords, *one.call.keywords))
        or not isinstance(constant(one.fixed.get("trigger_dag_id")), str)
        or not one.fixed.keys() <= _KEPT | _GONE | {"poke_interval"}
        or "#" in file.source.text[start:end]
    ):
        return None
    kept = [f"{name}={file.source.code(value)}" for name, value in one.fixed.items() if name in _KEPT]
    kept += [f"items={file.source.code(one.over['conf'])}", "item_key=None"]
    if "poke_interval" in one.fixed:
        kept.append(f"poke_interval={file.source.code(one.fixed['poke_interval'])}")
    text = f"{_REPLACEMENT}({', '.join(kept)})"
    imports = (("airflow_mapping_kit.operators.dagrun", _REPLACEMENT),)
    return Fix((file.replaced(one.call, text),), safe=False, imports=imports)


def said(node: ast.expr | None) -> str:
    """Return `, 'dag_id'` for a message, nothing where the file doesn't say which it is."""
    value = constant(node)
    return f", {value!r}" if isinstance(value, str) else ""
