"""The order of tasks, from `>>`, `chain` and the outputs that a file passes on."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.operators import class_path, names_in
from airflow_mapping_kit.lint.origins import defined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.source import Source

_BRANCHES = re.compile(r"Branch\w*Operator|ShortCircuitOperator|LatestOnlyOperator")
_BRANCHING = re.compile(r"(branch|short_circuit)\w*")
_ROUNDS = 5


def chains(source: Source) -> Iterator[list[set[ast.AST | str]]]:
    """Yield what `a >> [b, c] >> d` and `chain(a, b)` put one after another: names and calls, in order."""
    for binary in source.all(ast.BinOp):
        if isinstance(binary.op, ast.RShift) and not isinstance(source.parents[binary], ast.BinOp):
            parts: list[ast.expr] = [binary]
            while isinstance(parts[0], ast.BinOp):
                parts[:1] = [parts[0].left, parts[0].right]
            yield [_parts(one) for one in parts]
    for call in source.all(ast.Call):
        if getattr(call.func, "id", getattr(call.func, "attr", "")) == "chain":
            yield [_parts(one) for one in call.args]


def behind_branches(source: Source) -> set[ast.AST | str]:
    """Return the tasks that a branch before them may skip: names and calls."""
    given = {
        name: one.value
        for one in source.all(ast.Assign)
        for name in (target.id for target in one.targets if isinstance(target, ast.Name))
    }
    before: set[ast.AST | str] = {call for call in source.all(ast.Call) if _is_a_branch(source, call)}
    before |= {name for name, value in given.items() if value in before}
    found: set[ast.AST | str] = set()
    for _ in range(_ROUNDS if before else 0):
        for chain in chains(source):
            first = next((at for at, part in enumerate(chain) if part & (before | found)), len(chain))
            for part in chain[first + 1 :]:
                found |= part
        found |= {name for name, value in given.items() if value in found or names_in(value) & found}
        found |= {given[str(name)] for name in found if name in given}
    return found


def _is_a_branch(source: Source, call: ast.Call) -> bool:
    if _BRANCHES.fullmatch(class_path(source, call.func).rpartition(".")[2]):
        return True
    function = defined(source, call.func)
    decorator = None if function is None else task_decorator(source, function)
    return decorator is not None and _BRANCHING.fullmatch(decorator[0].rpartition(".")[2]) is not None


def _parts(node: ast.expr) -> set[ast.AST | str]:
    calls: set[ast.AST | str] = {one for one in ast.walk(node) if isinstance(one, ast.Call)}
    return calls | names_in(node)
