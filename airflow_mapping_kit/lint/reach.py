"""Where code runs: while the file is parsed, in a task, in a callback, or within an operator's own class."""

from __future__ import annotations

import ast
from enum import Flag, auto
from typing import TYPE_CHECKING, TypeAlias

from airflow_mapping_kit.lint.origins import defined, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.source import Source

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# What else of a package of Airflow's, or of the kit, makes a task of a function.
_TASKS = frozenset({"task", "setup", "teardown", "batched", "generator"})
# Where a function is handed over that runs in a task.
_CALLED_IN_A_TASK = frozenset({"python_callable", "execute_callable", "callable"})
_CALLBACK = "_callback"
# What calls the function that it is given: threads, processes, `map`.
_CALLS_IT = frozenset(
    "map imap imap_unordered starmap map_async submit apply_async run_in_executor to_thread".split()
)


class Reach(Flag):
    """Where a function's code runs: at none, one or several of these."""

    NOWHERE = 0
    PARSING = auto()
    TASK = auto()
    CALLBACK = auto()
    OPERATOR = auto()


def decorator_kind(source: Source, function: ast.AST) -> str:
    """Return what Airflow makes of a function that is decorated: `task`, `task_group`, `dag`; else nothing."""
    for one in getattr(function, "decorator_list", ()):
        path = origin(source, one.func if isinstance(one, ast.Call) else one)
        if not path.startswith(("airflow.", "airflow_mapping_kit.")):
            continue
        parts = path.split(".")
        if parts[-1] in {"dag", "task_group"}:
            return parts[-1]
        if not _TASKS.isdisjoint(parts[1:]):
            return "task"
    return ""


def task_decorator(source: Source, function: ast.AST) -> tuple[str, ast.expr] | None:
    """Return the dotted path and the node of the decorator that makes a task of a function, `None` where none does."""
    for one in getattr(function, "decorator_list", ()):
        path = origin(source, one.func if isinstance(one, ast.Call) else one)
        if path.startswith(("airflow.", "airflow_mapping_kit.")) and not _TASKS.isdisjoint(
            path.split(".")[1:]
        ):
            return path, one
    return None


class Reaches:
    """Where the functions of a file run."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._of: dict[ast.AST, Reach] = {}
        self._kinds: dict[ast.AST, str] = {}
        for function in source.all(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda):
            self._of[function] = Reach.NOWHERE
            self._kinds[function] = decorator_kind(source, function)
        self._begin()
        self._spread()

    def kind(self, function: ast.AST | None) -> str:
        """Return what Airflow makes of a function: `task`, `task_group`, `dag`; else nothing."""
        return "" if function is None else self._kinds.get(function, "")

    def of_function(self, function: ast.AST) -> Reach:
        """Return where the code of a function runs."""
        return self._of.get(function, Reach.NOWHERE)

    def of(self, node: ast.AST) -> Reach:
        """Return where the code at a node runs."""
        function = self._source.function_around(node)
        if function is not None:
            return self._of[function]
        return Reach.NOWHERE if self._in_main(node) else Reach.PARSING

    def tasks(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield the functions that a decorator makes tasks of."""
        for function, kind in self._kinds.items():
            if kind == "task":
                yield function  # type: ignore[misc]

    def _begin(self) -> None:
        for function, kind in self._kinds.items():
            if kind == "task":
                self._of[function] |= Reach.TASK
            elif kind:
                self._of[function] |= Reach.PARSING
            elif isinstance(self._source.parents.get(function), ast.ClassDef) and self._is_operator(function):
                self._of[function] |= Reach.OPERATOR
        for call in self._source.all(ast.Call):
            path = origin(self._source, call.func)
            if path.rpartition(".")[2] == "DAG" and path.startswith("airflow"):
                # A factory that another module calls.
                around = self._source.function_around(call)
                if around is not None:
                    self._of[around] |= Reach.PARSING
            elif call.args and path.startswith("airflow.") and not _TASKS.isdisjoint(path.split(".")[1:]):
                self._hand_over(call.args[0], Reach.TASK)  # task(function)
        for keyword in self._source.all(ast.keyword):
            self._named(keyword.arg, keyword.value)
        for mapping in self._source.all(ast.Dict):
            for key, value in zip(mapping.keys, mapping.values, strict=True):
                if isinstance(key, ast.Constant):
                    self._named(key.value, value)

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
                function = self.method(one) or defined(self._source, one)
                if function in self._of:
                    self._of[function] |= reach

    def _spread(self) -> None:
        """Follow calls from function to function of this file."""
        calls: dict[ast.AST | None, list[ast.AST]] = {}
        for call in self._source.all(ast.Call):
            function = self.method(call.func) or defined(self._source, call.func)
            # A task that is called where DAGs are made does not run there.
            if function is not None and function in self._of and self._kinds[function] != "task":
                around = self._source.function_around(call)
                if around is not None or not self._in_main(call):
                    calls.setdefault(around, []).append(function)
            if getattr(call.func, "attr", getattr(call.func, "id", "")) in _CALLS_IT:
                for one in call.args[:2]:
                    function = self.method(one) or defined(self._source, one)
                    if function in self._of and self._kinds[function] != "task":
                        calls.setdefault(self._source.function_around(call), []).append(function)
        for lambda_ in self._source.all(ast.Lambda):
            around = self._source.function_around(lambda_)
            if self._of[lambda_] == Reach.NOWHERE:
                calls.setdefault(around, []).append(lambda_)
        waiting: list[tuple[ast.AST | None, Reach]] = [(None, Reach.PARSING)]
        waiting += [(function, reach) for function, reach in self._of.items() if reach]
        while waiting:
            function, reach = waiting.pop()
            for called in calls.get(function, ()):
                added = reach & ~self._of[called]
                if added:
                    self._of[called] |= added
                    waiting.append((called, added))

    def method(self, node: ast.AST) -> ast.AST | None:
        """Return the method of the class around that `self.name` stands for."""
        if not (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"self", "cls"}
        ):
            return None
        for around in self._source.above(node):
            if isinstance(around, ast.ClassDef):
                return next(
                    (one for one in around.body if isinstance(one, _FUNCTIONS[:2]) and one.name == node.attr),
                    None,
                )
        return None

    def _is_operator(self, method: ast.AST) -> bool:
        """Tell whether a method is of an operator, a sensor, a hook, or another class that Airflow calls by itself."""
        class_ = self._source.parents[method]
        if not isinstance(class_, ast.ClassDef):
            return False
        names = [
            origin(self._source, base) or getattr(base, "attr", getattr(base, "id", ""))
            for base in class_.bases
        ]
        names.append(class_.name)
        kinds = ("Operator", "Sensor", "Hook", "Trigger", "Plugin", "Mixin", "Notifier", "Timetable")
        return any(name.endswith(kinds) or name.startswith("airflow.") for name in names)

    def _in_main(self, node: ast.AST) -> bool:
        """Tell whether code only runs where the file is a program: below `if __name__ == "__main__"`."""
        for one in self._source.above(node):
            if isinstance(one, ast.If) and isinstance(one.test, ast.Compare):
                names = [one.test.left, *one.test.comparators]
                if any(isinstance(name, ast.Name) and name.id == "__name__" for name in names):
                    return True
        return False
