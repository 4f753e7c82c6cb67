"""Tasks as a file declares them: operators that are made, and those that are mapped."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import bindings, defined, origin, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.lint.reach import Reaches
    from airflow_mapping_kit.lint.source import Source

_CLASS = re.compile(r"[A-Z]\w*(Operator|Sensor|SensorAsync|OperatorAsync)")
EXPAND = frozenset({"expand", "expand_kwargs"})
BEFORE = frozenset({"partial", "override"})


@dataclass(frozen=True, eq=False)
class Made:
    """An operator that is made by a call: `BashOperator(task_id="load", ...)`.

    :param call: the call.
    :param path: the dotted path of its class, or the name alone where nothing says where it is from.
    :param given: its keyword arguments.
    """

    call: ast.Call
    path: str
    given: Mapping[str, ast.expr]

    @property
    def name(self) -> str:
        """The name of its class."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, eq=False)
class Mapped:
    """A task that is mapped: `load.partial(...).expand(x=...)`.

    :param call: the call of `expand` or `expand_kwargs`.
    :param path: the dotted path of an operator's class, or of a function that is imported; empty of what is not known.
    :param function: the function of this file that is the task, if it is one.
    :param fixed: the keyword arguments of `partial` and `override`.
    :param over: those of `expand`; of `expand_kwargs` nothing.
    :param sets: what `expand_kwargs` is given.
    """

    call: ast.Call
    path: str
    function: ast.FunctionDef | ast.AsyncFunctionDef | None
    fixed: Mapping[str, ast.expr]
    over: Mapping[str, ast.expr] = field(default_factory=dict)
    sets: ast.expr | None = None

    @property
    def name(self) -> str:
        """The name of its class, or of its function."""
        return self.function.name if self.function is not None else self.path.rpartition(".")[2]


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call, those of a literal `**{...}` too."""
    found: dict[str, ast.expr] = {}
    for one in call.keywords:
        if one.arg is not None:
            found[one.arg] = one.value
        elif isinstance(one.value, ast.Dict):
            for key, value in zip(one.value.keys, one.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[key.value] = value
    return found


def class_path(source: Source, node: ast.AST) -> str:
    """Return the dotted path of an operator's class, its name where nothing says where it is from; else nothing."""
    path = origin(source, node)
    last = path.rpartition(".")[2] if path else getattr(node, "attr", getattr(node, "id", ""))
    return (path or last) if _CLASS.fullmatch(last) else ""


def made(source: Source, call: ast.Call) -> Made | None:
    """Return the operator that a call makes, `None` if it makes none.

    What is not from a package of Airflow's and has no `task_id` is somebody's own class of such a name.
    """
    path = class_path(source, call.func)
    if not path:
        return None
    given = keywords(call)
    if (
        not path.startswith("airflow")
        and "task_id" not in given
        and not any(one.arg is None for one in call.keywords)
    ):
        return None
    return Made(call, path, given)


def all_made(source: Source) -> Iterator[Made]:
    """Yield the operators that a file makes."""
    for call in source.all(ast.Call):
        found = made(source, call)
        if found is not None:
            yield found


def mapped(source: Source, reaches: Reaches, call: ast.Call) -> Mapped | None:
    """Return the mapped task that a call of `expand` or `expand_kwargs` makes, `None` of another call."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in EXPAND):
        return None
    fixed: dict[str, ast.expr] = {}
    base: ast.AST | None = value_of(source, call.func.value)
    while isinstance(base, ast.Call) and isinstance(base.func, ast.Attribute) and base.func.attr in BEFORE:
        fixed = {**keywords(base), **fixed}
        base = value_of(source, base.func.value)
    if isinstance(base, ast.Call) and origin(source, base.func).rpartition(".")[2] == "task" and base.args:
        base = base.args[0]  # task(function)
    function = defined(source, base)
    if isinstance(function, ast.ClassDef):
        function = None
    if function is not None and reaches.kind(function) != "task" and not _wrapped(source, base):
        return None
    path = "" if function is not None else class_path(source, base) if base is not None else ""
    if function is None and not path and not (fixed.keys() & {"task_id"}):
        path = origin(source, base)
        # A task that another module defines: all arguments of `expand` have names.
        if not path or path.startswith("builtins.") or call.args or not call.keywords:
            return None
    if call.func.attr == "expand_kwargs":
        sets = call.args[0] if call.args else keywords(call).get("kwargs")
        return Mapped(call, path, function, fixed, sets=sets)
    return Mapped(call, path, function, fixed, keywords(call))


def all_mapped(source: Source, reaches: Reaches) -> Iterator[Mapped]:
    """Yield the mapped tasks of a file."""
    for call in source.all(ast.Call):
        found = mapped(source, reaches, call)
        if found is not None:
            yield found


def constant(node: ast.AST | None) -> object:
    """Return the value of a literal, `None` of anything else."""
    return node.value if isinstance(node, ast.Constant) else None


def is_true(node: ast.AST | None) -> bool:
    """Tell whether an argument is the literal `True`."""
    return constant(node) is True


def names_in(node: ast.AST | None) -> set[str]:
    """Return the names that an expression reads."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} if node is not None else set()


def _wrapped(source: Source, node: ast.AST | None) -> bool:
    """Tell whether a function of the file became a task by `task(function)`."""
    return isinstance(node, ast.Name) and any(
        isinstance(source.parents.get(one), ast.Assign) for one in bindings(source, node)
    )
