"""The shape of a file: what it does, without the values, names and words in which copies differ."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from airflow_mapping_kit.lint.kinds import decorator_kind
from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.source import Source

_VALUES = (ast.Constant, ast.JoinedStr)
# So many parts of a sum are looked at.
_PARTS = 100
_COLLECTIONS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


class Value(NamedTuple):
    """A value that stands in a file.

    :param name: what it is called there: the argument, the key or the variable that it is for.
    :param text: as it is written.
    :param line: where.
    :param start: where it begins in the file's text, in characters.
    """

    name: str
    text: str
    line: int
    start: int


@dataclass(frozen=True)
class Shape:
    """What a file does.

    :param tokens: in the order of the file.
    :param values: what `tokens` leave out.
    :param lines: how many lines it has.
    :param line: where it begins.
    """

    tokens: tuple[str, ...]
    values: tuple[Value, ...]
    lines: int
    line: int = 1


def shape_of(source: Source) -> Shape:
    """Return the shape of a file."""
    return _shape(source, _without_docstring(source.tree), 1, len(source.lines))


def shapes_of_dags(source: Source) -> dict[int, Shape]:
    """Return the shapes of the DAGs of a file, by the line where each begins; nothing of a file of one DAG."""
    found = {}
    for one in source.tree.body:
        if isinstance(one, ast.With):
            is_dag = any(_is_dag(source, item.context_expr) for item in one.items)
        else:
            is_dag = isinstance(one, ast.FunctionDef) and decorator_kind(source, one) == "dag"
        if is_dag:
            found[one.lineno] = _shape(
                source, [one], one.lineno, (one.end_lineno or one.lineno) - one.lineno + 1
            )
    return found if len(found) > 1 else {}


def _is_dag(source: Source, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and origin(source, node.func).rpartition(".")[2] == "DAG"


def _shape(source: Source, statements: list[ast.stmt], line: int, lines: int) -> Shape:
    tokens: list[str] = []
    values: list[Value] = []
    called = {id(call.func) for call in source.all(ast.Call)}
    imported = {alias.asname or alias.name.partition(".")[0] for alias in source.all(ast.alias)}
    waiting: list[ast.AST | str] = [*reversed(statements)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            tokens.append(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            continue
        elif _is_value(node):
            tokens.append(_kind(node))
            start, end = source.span(node)
            values.append(Value(_name(source, node), source.text[start:end], node.lineno, start))
        elif isinstance(node, ast.Name):
            tokens.append(node.id if id(node) in called or node.id in imported else "v")
        elif isinstance(node, ast.Attribute):
            tokens.append(f".{node.attr}")
            waiting.append(node.value)
        elif isinstance(node, ast.keyword):
            tokens.append(f"{node.arg}=")
            waiting.append(node.value)
        elif isinstance(node, ast.Call):
            waiting += [")", *reversed(node.keywords), *reversed(node.args), "(", node.func]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            tokens.append(type(node).__name__)
            body = {id(one) for one in node.body}
            inside = [one for one in ast.iter_child_nodes(node) if id(one) not in body]
            waiting += reversed([*inside, ":", *_without_docstring(node)])
        else:
            tokens.append(type(node).__name__)
            waiting += reversed(list(ast.iter_child_nodes(node)))
    return Shape(tuple(tokens), tuple(values), lines, line)


def _without_docstring(
    node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> list[ast.stmt]:
    first = node.body[0] if node.body else None
    is_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return node.body[1:] if is_text else node.body


def _is_value(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, _VALUES):
        return True
    if isinstance(node, _COLLECTIONS):
        parts = [*node.keys, *node.values] if isinstance(node, ast.Dict) else node.elts
        return bool(parts) and all(part is not None and _is_value(part) for part in parts)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.operand, ast.Constant)
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add | ast.Mod)
        and _is_text(node.left)
        and _is_value(node.right)
    )


def _is_text(node: ast.AST) -> bool:
    """Tell whether an expression is a text, or a sum with one among its last parts: no recursion, sums may be long."""
    waiting = [node]
    for _ in range(_PARTS):
        if not waiting:
            return False
        one = waiting.pop()
        if isinstance(one, ast.BinOp):
            waiting += [one.left, one.right] if isinstance(one.op, ast.Add) else []
        elif isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Constant) and isinstance(one.value, str)):
            return True
    return False


def _kind(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str | bytes):
            return "text"
        is_number = isinstance(node.value, int | float | complex) and not isinstance(node.value, bool)
        return "number" if is_number else "constant"
    if isinstance(node, _COLLECTIONS):
        return "values"
    return "number" if isinstance(node, ast.UnaryOp) else "text"


def _name(source: Source, node: ast.AST) -> str:
    """Return what a value is for, in the words of the file."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.keyword) and parent.arg:
        return parent.arg
    if isinstance(parent, ast.Assign | ast.AnnAssign):
        target = parent.targets[0] if isinstance(parent, ast.Assign) else parent.target
        return target.id if isinstance(target, ast.Name) else ""
    if isinstance(parent, ast.Dict):
        key = next(
            key for key, value in zip(parent.keys, parent.values, strict=True) if value is node or key is node
        )
        return str(key.value) if isinstance(key, ast.Constant) and key is not node else ""
    if isinstance(parent, ast.Call):
        func = parent.func
        name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        if name == "DAG" and parent.args and parent.args[0] is node:
            return "dag_id"
        return f"an argument of {name}" if name else ""
    return ""
