"""Tasks that wait for the runs of another DAG, and code that asks for their states."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.migrate.conf import Function
from airflow_mapping_kit.lint.operators import constant, keywords, made
from airflow_mapping_kit.lint.origins import defined, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.migrate.dags import Dag
    from airflow_mapping_kit.lint.source import Source

_ASKS = frozenset(
    {"ExternalTaskSensor", "get_dagrun_state", "get_dag_run_state", "get_dr_count", "DagRun.find"}
)
_SENSOR = "sensor"
_STEPS = 3


@dataclass
class Followed:
    """What a fan-in replaces in a DAG.

    :param sensors: calls that make a task which waits for the runs.
    :param functions: the functions of such tasks.
    :param raises: whether one of them fails where a run failed.
    """

    sensors: list[ast.Call] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    raises: bool = False


def waiting(dag: Dag, sub_id: str) -> Followed:
    """Return the tasks of a DAG that wait for runs of another one."""
    found = Followed()
    for node in dag.walk():
        if not isinstance(node, ast.Call) or dag.source.function_around(node) not in {None, dag.node}:
            continue
        one = made(dag.source, node)
        if one is not None and one.name == "ExternalTaskSensor":
            if constant(one.given.get("external_dag_id")) == sub_id:
                found.sensors.append(node)
                found.raises = True
            continue
        function = defined(dag.source, keywords(node).get("python_callable") or node.func)
        is_sensor = one is not None and one.name.endswith("Sensor")
        if not isinstance(function, Function) or not (is_sensor or _is_sensor(dag.source, function)):
            continue
        if any(asked(dag.source, function, sub_id)):
            found.sensors.append(node)
            found.functions.append(function)
            found.raises |= any(isinstance(inner, ast.Raise) for inner in ast.walk(function))
    return found


def asked(source: Source, function: ast.AST, sub_id: str, steps: int = _STEPS) -> Iterator[ast.Call]:
    """Yield the calls in a function that ask for a run of a DAG, by helpers of the file too."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        path = origin(source, node.func)
        values = [constant(one) for one in (*node.args, *keywords(node).values())]
        name = path.rpartition(".")[2] or getattr(node.func, "attr", "")
        if name in _ASKS or path.endswith("DagRun.find"):
            if sub_id in values or not any(isinstance(one, str) for one in values):
                yield node
            continue
        helper = defined(source, node.func)
        if (
            isinstance(helper, Function)
            and helper is not function
            and steps
            and any(asked(source, helper, sub_id, steps - 1))
        ):
            yield node


def _is_sensor(source: Source, function: Function) -> bool:
    found = task_decorator(source, function)
    return found is not None and found[0].endswith(f".{_SENSOR}")
