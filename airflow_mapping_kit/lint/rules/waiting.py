"""A mapped trigger that keeps its slot while it waits: MAP003."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.groups import made_in_mapped_groups
from airflow_mapping_kit.lint.operators import constant, is_true
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.triggers import as_per_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_mapping_kit.lint.findings import Finding, Fix
    from airflow_mapping_kit.lint.project import File

_TRIGGER = "TriggerDagRunOperator"
# With fewer than Airflow's slots by default it can't lock up.
_FEW = 8


def waits_and_holds_its_slot(file: File) -> Iterator[Finding]:
    """Yield mapped triggers that wait for the runs that they start, each in a slot."""
    for one in file.mapped:
        given = {**one.fixed, **one.over}
        if one.name == _TRIGGER and _waits(given):
            yield _finding(file, one.call, given, one.over.values(), as_per_item(file, one))
    for made, _ in made_in_mapped_groups(file.source, file.reaches, file.made):
        if made.name == _TRIGGER and _waits(made.given):
            yield _finding(file, made.call, made.given, (), None)


def _waits(given: Mapping[str, ast.expr]) -> bool:
    return is_true(given.get("wait_for_completion")) and not is_true(given.get("deferrable"))


def _finding(
    file: File, call: ast.Call, given: Mapping[str, ast.expr], over: Iterable[ast.expr], fix: Fix | None
) -> Finding:
    one_at_a_time = any(
        constant(given.get(name)) == 1 for name in ("max_active_tis_per_dag", "max_active_tis_per_dagrun")
    )
    few = any(isinstance(value, ast.List | ast.Tuple) and len(value.elts) <= _FEW for value in over)
    return file.finding(
        "MAP003",
        call,
        "A mapped TriggerDagRunOperator keeps its slot while it waits for its run (wait_for_completion=True): "
        + (
            "the runs start one after the other, so the task takes as long as all of them together"
            if one_at_a_time
            else "if waiting instances take all slots, the runs have none, and nothing ends any more"
        ),
        "Set deferrable=True, or use TriggerDagRunPerItemOperator, which waits in one deferred task",
        severity="info" if one_at_a_time or few else "error",
        fix=fix,
    )


RULES = (
    Rule(
        "MAP003",
        "mapped-trigger-waits",
        "A mapped TriggerDagRunOperator keeps its slot while it waits.",
        "error",
        waits_and_holds_its_slot,
    ),
)
