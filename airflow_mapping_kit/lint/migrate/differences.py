"""The differences between files of the same shape, and where they are in the first file."""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions, needed
from airflow_mapping_kit.lint.migrate.conf import arguments
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.origins import defined
from airflow_mapping_kit.lint.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.lint.migrate.dags import Dag
    from airflow_mapping_kit.lint.shapes import Shape
    from airflow_mapping_kit.lint.source import Source


@dataclass(eq=False)
class Difference:
    """What files differ in.

    :param name: what it is called in the table: an argument, a key or a variable of the file.
    :param texts: its value in each file, as code.
    :param nodes: where it stands in the first file.
    """

    name: str
    texts: tuple[str, ...]
    nodes: list[ast.expr] = field(default_factory=list)

    @property
    def is_literal(self) -> bool:
        """Whether each value says what it is without the code around it."""
        try:
            for text in self.texts:
                ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return False
        return True


def differences(dags: Sequence[Dag]) -> list[Difference]:
    """Return what the files of some DAGs differ in.

    :raises Refused: naming a file that does something else.
    """
    first, *others = [shape_of(one.source) for one in dags]
    for dag, shape in zip(dags[1:], others, strict=True):
        if _tokens(dag.source, shape) != _tokens(dags[0].source, first):
            raise Refused(
                f"{dag.source.path} does something else than {dags[0].source.path}, not the same with other values. "
                f"Leave it out, or make the two equal first."
            )
    nodes = _by_place(dags[0].source)
    found: dict[tuple[str, ...], Difference] = {}
    for aligned in zip(first.values, *(one.values for one in others), strict=True):
        texts = tuple(one.text for one in aligned)
        if len(set(texts)) > 1:
            node = nodes[aligned[0].start, aligned[0].start + len(aligned[0].text)]
            one = found.setdefault(
                texts, Difference(_argument(dags[0].source, node) or aligned[0].name, texts)
            )
            one.nodes.append(node)
    return list(found.values())


def _tokens(source: Source, shape: Shape) -> list[str]:
    """Return what a file does, whatever it calls its own functions."""
    own = {one.name: f"def {number}" for number, one in enumerate(source.all(ast.FunctionDef))}
    return [own.get(token, token) for token in shape.tokens]


def named(found: Sequence[Difference], source: Source) -> None:
    """Give what files differ in names that a function may have as arguments."""
    # A variable of that name gives way; an argument of a function is of it alone.
    taken = needed.names_of(source.tree)
    for one in found:
        plain = re.sub(r"\W+", "_", one.name).strip("_").lower()
        if not plain.isidentifier() or keyword.iskeyword(plain):
            plain = f"value_{plain}".rstrip("_")
        one.name = functions.free([plain, f"{plain}_of_it"], taken)
        taken.add(one.name)


def _argument(source: Source, node: ast.expr) -> str:
    """Return what a function of the file calls a value that it is given by place."""
    call = source.parents[node]
    function = defined(source, call.func) if isinstance(call, ast.Call) and node in call.args else None
    if isinstance(call, ast.Call) and isinstance(function, ast.FunctionDef):
        names = [one.arg for one in arguments(function)]
        place = call.args.index(node)
        return names[place] if place < len(names) else ""
    return ""


def _by_place(source: Source) -> dict[tuple[int, int], ast.expr]:
    kinds = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp)
    inside = {part for text in source.all(ast.JoinedStr) for part in ast.walk(text) if part is not text}
    return {source.span(node): node for node in source.all(*kinds) if node not in inside}
