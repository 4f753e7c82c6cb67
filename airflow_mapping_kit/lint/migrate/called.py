"""The tasks that a DAG's body makes of functions."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate.conf import Function, arguments
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import keywords
from airflow_mapping_kit.lint.origins import defined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.lint.migrate.dags import Dag

_PYTHON = frozenset({"PythonOperator"})
_OF_PYTHON = frozenset({"python_callable", "op_kwargs", "op_args", "provide_context", "dag"})


@dataclass
class Call:
    """A task that a DAG's body makes: by the call of a function, or by a PythonOperator.

    :param node: the call.
    :param function: the function.
    :param settings: arguments of the task, as code; of a decorated function none, they stand at the function.
    :param given: arguments of the function, as code.
    """

    node: ast.Call
    function: Function
    settings: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The code of the task, before it is called."""
        by_itself = {f'"{self.function.name}"', f"'{self.function.name}'"}
        settings = ", ".join(
            f"{name}={value}"
            for name, value in self.settings.items()
            if name != "task_id" or value not in by_itself
        )
        return f"{self.function.name}.override({settings})" if settings else self.function.name


def calls(dag: Dag) -> list[Call]:
    """Return the tasks of a DAG's body that are functions of the file, in its order."""
    found = []
    for node in dag.walk():
        if not isinstance(node, ast.Call) or dag.source.function_around(node) not in {None, dag.node}:
            continue
        function = defined(dag.source, node.func)
        if isinstance(function, Function) and dag.reaches.kind(function) == "task":
            found.append(Call(node, function, {}, _given(dag, node, function)))
            continue
        one = _of_python(dag, node)
        if one is not None:
            found.append(one)
    return sorted(found, key=lambda one: one.node.lineno)


def _of_python(dag: Dag, node: ast.Call) -> Call | None:
    """Return the task that a PythonOperator makes of a function of the file."""
    given = keywords(node)
    function = defined(dag.source, given.get("python_callable"))
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name not in _PYTHON or not isinstance(function, Function) or dag.reaches.kind(function):
        return None
    own = given.get("op_kwargs")
    if "op_args" in given or not isinstance(own, ast.Dict | None):
        raise Refused(
            f"{dag.source.path}:{node.lineno}: the arguments of {function.name} can't be read: pass them in a literal "
            "op_kwargs."
        )
    settings = {key: dag.source.code(value) for key, value in given.items() if key not in _OF_PYTHON}
    op_kwargs = keywords(ast.Call(node.func, [], [ast.keyword(None, own)])) if own else {}
    return Call(node, function, settings, {key: dag.source.code(value) for key, value in op_kwargs.items()})


def _given(dag: Dag, node: ast.Call, function: Function) -> dict[str, str]:
    names = [one.arg for one in arguments(function)]
    by_place = dict(zip(names, node.args, strict=False))
    return {name: dag.source.code(value) for name, value in {**by_place, **keywords(node)}.items()}
