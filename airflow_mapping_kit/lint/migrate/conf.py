"""Where a task reads the input of its run: the run's `conf`, and the DAG's params."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.source import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef
# What is of the run: of one run an item, once, and now of the one run of all items.
OF_THE_RUN = frozenset(
    "run_id dag_run dag ts ts_nodash ds ds_nodash logical_date execution_date data_interval_start data_interval_end "
    "prev_ds next_ds dag_id".split()
)


@dataclass
class Reads:
    """What a task reads of its run.

    :param conf: expressions that are the run's `conf`.
    :param params: expressions that are the params.
    :param others: other things of the run, by name.
    :param pulls: calls of `xcom_pull`.
    """

    conf: list[ast.expr] = field(default_factory=list)
    params: list[ast.expr] = field(default_factory=list)
    others: list[tuple[ast.expr, str]] = field(default_factory=list)
    pulls: list[ast.expr] = field(default_factory=list)


def reads(source: Source, function: Function) -> Reads:
    """Return what a task reads of its run: by arguments of Airflow's names, by its context."""
    look = _Look(source, function)
    found = Reads()
    for node in ast.walk(function):
        if not isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.Attribute) and node.attr == "conf" and look.is_run(node.value):
            found.conf.append(node)
        elif look.key(node) == "params" or (look.is_argument(node, "params")):
            found.params.append(node)
        elif isinstance(node, ast.Attribute) and node.attr == "xcom_pull":
            found.pulls.append(node)
        else:
            name = look.of_the_run(node)
            if name:
                found.others.append((node, name))
    return found


def arguments(function: Function) -> Iterator[ast.arg]:
    """Yield all arguments of a function but those with stars."""
    yield from (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)


class _Look:
    """How a function calls its context and its run."""

    def __init__(self, source: Source, function: Function) -> None:
        self._source = source
        self._arguments = {one.arg for one in arguments(function)}
        self._contexts = {function.args.kwarg.arg} if function.args.kwarg else set()
        self._contexts |= {"context"} & self._arguments
        self._runs = {"dag_run"} & self._arguments
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if self.is_context(node.value):
                    self._contexts.add(node.targets[0].id)
                elif self.is_run(node.value):
                    self._runs.add(node.targets[0].id)

    def is_context(self, node: ast.expr) -> bool:
        """Tell whether an expression is the context."""
        if isinstance(node, ast.Name):
            return node.id in self._contexts
        return isinstance(node, ast.Call) and origin(self._source, node.func).endswith("get_current_context")

    def key(self, node: ast.expr) -> str:
        """Return which of the context an expression is: of `context["params"]` `params`."""
        value: object = None
        if isinstance(node, ast.Subscript) and self.is_context(node.value):
            value = constant(node.slice)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
            and self.is_context(node.func.value)
        ):
            value = constant(node.args[0])
        return value if isinstance(value, str) else ""

    def is_run(self, node: ast.expr) -> bool:
        """Tell whether an expression is the run."""
        return (isinstance(node, ast.Name) and node.id in self._runs) or self.key(node) == "dag_run"

    def is_argument(self, node: ast.expr, name: str) -> bool:
        """Tell whether an expression reads an argument."""
        return (
            isinstance(node, ast.Name)
            and node.id == name
            and name in self._arguments
            and isinstance(node.ctx, ast.Load)
        )

    def of_the_run(self, node: ast.expr) -> str:
        """Return which thing of the run an expression is that is not its `conf`."""
        if self.is_run(node):
            parent = self._source.parents[node]
            is_named = isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name)
            is_conf = isinstance(parent, ast.Attribute) and parent.attr == "conf"
            is_target = isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
            return "" if is_named or is_conf or is_target else "dag_run"
        key = self.key(node)
        if key in OF_THE_RUN:
            return key
        return next((name for name in OF_THE_RUN if self.is_argument(node, name)), "")
