"""Where code runs: when the file is parsed, in a task, in a callback, or in an operator's class."""

from __future__ import annotations

import ast
from enum import Flag, auto
from typing import TYPE_CHECKING, TypeAlias

from airflow_mapping_kit.lint.calls import function_of, handed_on
from airflow_mapping_kit.lint.kinds import TASKS, decorator_kind, is_of_an_operator
from airflow_mapping_kit.lint.modules import is_own
from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.lint.source import Source

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# Where a function is handed over that runs in a task.
_CALLED_IN_A_TASK = frozenset(
    "python_callable execute_callable callable apply_function apply_function_batch event_triggered_function".split()
)
_CALLBACK = "_callback"
_OF_A_TASK = frozenset({"ti", "task_instance", "dag_run"})


def _takes_a_context(function: ast.AST) -> bool:
    """Tell whether a function reads of its keywords what only a task is given: `context["ti"]` of `**context`."""
    given = getattr(function, "args", None)
    if given is None or given.kwarg is None:
        return False
    name = given.kwarg.arg
    return any(
        isinstance(one, ast.Subscript)
        and isinstance(one.value, ast.Name)
        and one.value.id == name
        and isinstance(one.slice, ast.Constant)
        and one.slice.value in _OF_A_TASK
        for one in ast.walk(function)
    )


class Reach(Flag):
    """Where a function's code runs: at none, one or several of these."""

    NOWHERE = 0
    PARSING = auto()
    TASK = auto()
    CALLBACK = auto()
    OPERATOR = auto()


class Reaches:
    """Where the functions of a file run.

    :param source: the file.
    :param handed: of its functions, by name, where other files have them run.
    """

    def __init__(self, source: Source, handed: Mapping[str, Reach] | None = None) -> None:
        self._source = source
        self.elsewhere: dict[str, Reach] = {}
        self._tasks: set[ast.AST] = set()
        self._of: dict[ast.AST, Reach] = {}
        self._kinds: dict[ast.AST, str] = {}
        for function in source.all(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda):
            self._of[function] = Reach.NOWHERE
            self._kinds[function] = decorator_kind(source, function)
        for line in source.tree.body:
            if line in self._of:
                self._of[line] |= (handed or {}).get(line.name, Reach.NOWHERE)  # type: ignore[attr-defined]
        self._begin()
        self._spread()

    def kind(self, function: ast.AST | None) -> str:
        """Return what Airflow makes of a function: `task`, `task_group`, `dag`; else nothing."""
        return "" if function is None else self._kinds.get(function, "")

    def of_function(self, function: ast.AST) -> Reach:
        """Return where the code of a function runs."""
        return self._of.get(function, Reach.NOWHERE)

    def has(self, name: str) -> bool:
        """Tell whether the file defines a function of a name."""
        return any(getattr(one, "name", "") == name for one in self._source.tree.body if one in self._of)

    def of(self, node: ast.AST) -> Reach:
        """Return where the code at a node runs."""
        function = self._source.function_around(node)
        if function is not None:
            return self._of[function]
        return Reach.NOWHERE if self._in_main(node) else Reach.PARSING

    def is_task(self, function: ast.AST) -> bool:
        """Tell whether a function is what a task runs: not merely called by one."""
        return self.kind(function) == "task" or function in self._tasks

    def tasks(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield the functions that a decorator makes tasks of."""
        for function, kind in self._kinds.items():
            if kind == "task":
                yield function  # type: ignore[misc]

    def _begin(self) -> None:
        for function, kind in self._kinds.items():
            self._of[function] |= self._by_itself(function, kind)
        for call in self._source.all(ast.Call):
            self._made_by(call)
        for keyword in self._source.all(ast.keyword):
            self._named(keyword.arg, keyword.value)
        for mapping in self._source.all(ast.Dict):
            for key, value in zip(mapping.keys, mapping.values, strict=True):
                if isinstance(key, ast.Constant):
                    self._named(key.value, value)

    def _by_itself(self, function: ast.AST, kind: str) -> Reach:
        """Return where a function runs by what is said at it."""
        if kind:
            return Reach.TASK if kind == "task" else Reach.PARSING
        in_a_class = isinstance(self._source.parents.get(function), ast.ClassDef)
        if in_a_class and is_of_an_operator(self._source, function):
            return Reach.OPERATOR
        return Reach.TASK if not in_a_class and _takes_a_context(function) else Reach.NOWHERE

    def _made_by(self, call: ast.Call) -> None:
        """Note where code runs that makes a DAG, or that a call makes a task of: `task(function)`."""
        path = origin(self._source, call.func)
        if not path.startswith("airflow"):
            return
        if path.endswith(".DAG"):
            around = self._source.function_around(call)
            if around is not None:
                self._of[around] |= Reach.PARSING
        elif call.args and not TASKS.isdisjoint(path.split(".")[1:]):
            self._hand_over(call.args[0], Reach.TASK)

    def _named(self, name: object, value: ast.AST) -> None:
        """Note where a function runs that is handed over by a name that says it."""
        if not isinstance(name, str):
            return
        if name in _CALLED_IN_A_TASK:
            self._hand_over(value, Reach.TASK)
        elif name.endswith(_CALLBACK):
            self._hand_over(value, Reach.CALLBACK)

    def _hand_over(self, value: ast.AST, reach: Reach) -> None:
        """Note where what is handed over as a function runs."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, ast.List | ast.Tuple):
                waiting += one.elts
            elif isinstance(one, ast.IfExp):
                waiting += [one.body, one.orelse]
            elif isinstance(one, ast.Call):
                # partial(function, ...), or what makes a callback of a function.
                waiting += one.args[:1]
            elif isinstance(one, ast.Lambda):
                self._of[one] |= reach
            else:
                function = function_of(self._source, one)
                if function is not None:
                    self._of[function] |= reach
                    if reach is Reach.TASK:
                        self._tasks.add(function)
                else:
                    self._note(one, reach)

    def _spread(self) -> None:
        """Follow calls from function to function of this file."""
        calls = self._all_calls()
        waiting: list[tuple[ast.AST | None, Reach]] = [(None, Reach.PARSING)]
        waiting += [(function, reach) for function, reach in self._of.items() if reach]
        while waiting:
            function, reach = waiting.pop()
            for called in calls.get(function, ()):
                added = reach & ~self._of[called]
                if added:
                    self._of[called] |= added
                    waiting.append((called, added))
        for call in self._source.all(ast.Call):
            around = self._source.function_around(call)
            reach = Reach.PARSING if around is None else self._of[around]
            if reach and function_of(self._source, call.func) is None:
                self._note(call.func, reach)

    def _all_calls(self) -> dict[ast.AST | None, list[ast.AST]]:
        """Return by function, `None` for the module, the functions of this file that are called in it."""
        calls: dict[ast.AST | None, list[ast.AST]] = {}
        for call in self._source.all(ast.Call):
            around = self._source.function_around(call)
            for function in self._called(call):
                # A task that is called where DAGs are made does not run there.
                if self._kinds[function] != "task" and (around is not None or not self._in_main(call)):
                    calls.setdefault(around, []).append(function)
        for lambda_ in self._source.all(ast.Lambda):
            if self._of[lambda_] == Reach.NOWHERE:
                calls.setdefault(self._source.function_around(lambda_), []).append(lambda_)
        return calls

    def _note(self, node: ast.AST, reach: Reach) -> None:
        """Note where what another module of the project defines runs."""
        path = origin(self._source, node)
        if is_own(path):
            self.elsewhere[path] = self.elsewhere.get(path, Reach.NOWHERE) | reach

    def _called(self, call: ast.Call) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        function = function_of(self._source, call.func)
        found = [one for _, one in handed_on(self._source, call)]
        return found if function is None else [function, *found]

    def _in_main(self, node: ast.AST) -> bool:
        """Tell whether code only runs where the file is a program: below `if __name__ == "__main__"`."""
        for one in self._source.above(node):
            if isinstance(one, ast.If) and isinstance(one.test, ast.Compare):
                names = [one.test.left, *one.test.comparators]
                if any(isinstance(name, ast.Name) and name.id == "__name__" for name in names):
                    return True
        return False
