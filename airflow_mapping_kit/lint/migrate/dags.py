"""The DAGs that a file defines."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import needed
from airflow_mapping_kit.lint.migrate.forms import with_a_with
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import all_mapped, constant, keywords
from airflow_mapping_kit.lint.origins import origin, value_of
from airflow_mapping_kit.lint.reach import Reaches
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, eq=False)
class Dag:
    """A DAG: a function that `@dag` decorates, or the body of `with DAG(...)`.

    :param source: the file.
    :param reaches: where its functions run.
    :param node: the function, or the `with`.
    :param dag_id: its id.
    :param id_node: where the id stands; `None` where it is the function's name.
    :param given: the arguments of `@dag` or `DAG`.
    """

    source: Source
    reaches: Reaches
    node: ast.FunctionDef | ast.With
    dag_id: str
    id_node: ast.expr | None
    given: Mapping[str, ast.expr]

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements, without a docstring."""
        first = self.node.body[0]
        is_text = isinstance(first, ast.Expr) and isinstance(constant(first.value), str)
        return self.node.body[1:] if is_text else self.node.body

    @property
    def indentation(self) -> int:
        """The column of its statements."""
        return self.node.body[0].col_offset

    @property
    def path(self) -> Path:
        """The file's path."""
        return Path(self.source.path)

    def mapped_line(self) -> int:
        """Return the line of a task that it maps by itself, 0 if it maps none: a mapped group holds no mapped task."""
        nodes = set(self.walk())
        found = [one.call.lineno for one in all_mapped(self.source, self.reaches) if one.call in nodes]
        return min(found, default=0)

    def walk(self) -> Iterator[ast.AST]:
        """Yield all nodes of its body."""
        for statement in self.body:
            yield from ast.walk(statement)


class Files:
    """Files that are read, each once."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[Source, Reaches]] = {}

    def dag(self, given: str) -> Dag:
        """Return the DAG that `FILE` or `FILE:dag_id` names.

        :raises Refused: if there is no such file or DAG, or several that could be meant.
        """
        path, wanted = Path(given), ""
        if not path.exists() and ":" in given:
            name, _, wanted = given.rpartition(":")
            path = Path(name)
        found = list(dags_of(*self.read(path)))
        chosen = [one for one in found if not wanted or one.dag_id == wanted]
        ids = ", ".join(one.dag_id for one in found)
        if not found:
            raise Refused(
                f"{path}: it defines no DAG with @dag or `with DAG(...)`, and not exactly one with `dag = DAG(...)`. "
                f"Rewrite the DAG in one of these forms first."
            )
        if not chosen:
            raise Refused(f"{path}: it doesn't define the DAG {wanted!r}. It defines {ids}.")
        if len(chosen) > 1:
            raise Refused(f"{path}: it defines {ids}. Name one of them: {path}:{chosen[0].dag_id}")
        _check_that_all_is_within(chosen[0])
        return chosen[0]

    def read(self, path: Path) -> tuple[Source, Reaches]:
        """Return a file.

        :raises Refused: if it can't be read.
        """
        real = path.resolve()
        if real not in self._read:
            try:
                source = Source(str(path), path.read_bytes())
            except OSError as error:
                raise Refused(f"{path}: it can't be read: {error.strerror}.") from None
            except Unreadable as error:
                raise Refused(f"{path}:{error.line}: it can't be read: {error}.") from None
            tabs = next((number for number, line in enumerate(source.lines, 1) if line[:1] == "\t"), 0)
            if tabs:
                raise Refused(f"{path}:{tabs}: it is indented with tabs. Indent it with spaces first.")
            source = with_a_with(source)
            self._read[real] = source, Reaches(source)
        return self._read[real]


def _check_that_all_is_within(dag: Dag) -> None:
    """Refuse a DAG whose tasks are put in order outside of its `with`."""
    if isinstance(dag.node, ast.FunctionDef):
        return
    own = {name for one in dag.node.body for name in needed.bound(one)}
    for one in dag.source.tree.body:
        if isinstance(one, ast.Expr) and own & needed.names_of(one):
            raise Refused(
                f"{dag.source.path}:{one.lineno}: this line uses tasks of {dag.dag_id} outside of its `with`: move it "
                "inside."
            )


def dags_of(source: Source, reaches: Reaches) -> Iterator[Dag]:
    """Yield the DAGs of a file that stand at its top."""
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef) and reaches.kind(node) == "dag":
            given, first = _decorated(source, node)
            id_node = given.get("dag_id", first)
            yield Dag(source, reaches, node, _text(source, id_node) or node.name, id_node, given)
        elif isinstance(node, ast.With):
            call = node.items[0].context_expr
            if isinstance(call, ast.Call) and origin(source, call.func).rpartition(".")[2] == "DAG":
                given = keywords(call)
                id_node = given.get("dag_id", call.args[0] if call.args else None)
                # An id that is computed is, where people do that, the file's name.
                dag_id = _text(source, id_node) or Path(source.path).stem
                yield Dag(source, reaches, node, dag_id, id_node, given)


def _decorated(source: Source, function: ast.FunctionDef) -> tuple[Mapping[str, ast.expr], ast.expr | None]:
    for one in function.decorator_list:
        if isinstance(one, ast.Call) and origin(source, one.func).endswith(".dag"):
            return keywords(one), one.args[0] if one.args else None
    return {}, None


def _text(source: Source, node: ast.expr | None) -> str:
    value = constant(value_of(source, node)) if node is not None else None
    return value if isinstance(value, str) else ""
