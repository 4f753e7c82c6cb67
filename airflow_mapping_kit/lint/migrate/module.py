"""A module around a DAG: the imports, constants and functions that it needs from the old files."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import needed
from airflow_mapping_kit.lint.migrate.changes import TODO, Changes
from airflow_mapping_kit.lint.migrate.dags import dags_of
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import origin
from airflow_mapping_kit.lint.reach import Reaches
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.lint.migrate.dags import Dag

# What is written for a name of the kit, which may mean something else in the DAG.
COLLECT, ROWS, LABEL = "mapping_kit_collect", "mapping_kit_rows", "mapping_kit_label"
_OF_THE_KIT = {
    COLLECT: "airflow_mapping_kit.fan_in",
    ROWS: "airflow_mapping_kit.fan_in",
    LABEL: "airflow_mapping_kit.labels",
}
_OF_AIRFLOW = ("task", "task_group")


@dataclass(frozen=True)
class Taken:
    """A part of the DAG.

    :param dag: the DAG that it is from.
    :param text: the code; it says which names it needs.
    :param others: code of the same file that stands in another part.
    """

    dag: Dag
    text: str
    others: tuple[ast.expr, ...] = ()

    def names(self) -> set[str]:
        """Return the names that it needs of its file."""
        return needed.names(self.text) | {name for one in self.others for name in needed.names_of(one)}


def module(parts: Sequence[Taken], text: str) -> str:
    """Return a file.

    :param parts: where the DAG is from, the first one's docstring is the file's.
    :param text: the DAG.
    :raises Refused: if parts need different things of one name.
    """
    imports: dict[str, None] = {}
    others: dict[str, None] = {}
    bound: dict[str, tuple[str, str]] = {}
    text, lines = _of_the_kit(parts, text)
    loaded = needed.names_of(ast.parse(text))
    for source in {id(one.dag.source): one.dag.source for one in parts}.values():
        names = {name for one in parts if one.dag.source is source for name in one.names()}
        names &= loaded
        dags = [one.node for one in dags_of(source, Reaches(source))]
        kept = needed.statements(source, names, dags)
        all_names = _closed(kept, names)
        for statement in kept:
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                continue
            fresh = all_names - set(bound)
            _same(bound, source, statement, all_names)
            top = needed.is_import(statement) or isinstance(statement, ast.Expr)
            if isinstance(statement, ast.Expr) or fresh & set(needed.bound(statement)):
                code = needed.text(source, statement, fresh if top else all_names)
                if _is_of_a_folder(statement) and _folder(source) != _folder(parts[0].dag.source):
                    code = f"{TODO}this is from {source.path}, in another folder: check it.\n{code.lstrip(chr(10))}"
                (imports if top else others)[code] = None
    missing = [name for name in _OF_AIRFLOW if name in loaded and name not in bound]
    head = _docstring(parts[0].dag.source) + "from __future__ import annotations\n\n"
    code = head + "".join(imports).lstrip("\n") + of_airflow(missing) + (f"\n{lines}" if lines else "")
    code += ("\n" + _apart(others) if others else "") + f"\n\n{text}"
    return checked(parts[0].dag.source.path, code)


def _of_the_kit(parts: Sequence[Taken], text: str) -> tuple[str, str]:
    """Return a DAG with names of the kit as they are imported, and the imports."""
    tree = ast.parse(text)
    used = needed.names_of(tree)
    taken = used | {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    taken |= {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
    taken |= {name for part in parts for one in part.dag.source.tree.body for name in needed.bound(one)}
    imports: dict[str, list[str]] = {}
    for long, where in _OF_THE_KIT.items():
        name = long.removeprefix("mapping_kit_")
        if long not in used:
            continue
        if name in taken:
            imports.setdefault(where, []).append(f"{name} as {long}")
        else:
            imports.setdefault(where, []).append(name)
            text = re.sub(rf"\b{long}\b", name, text)
    lines = [f"from {where} import {', '.join(names)}\n" for where, names in imports.items()]
    return text, "".join(lines)


def _apart(codes: Iterable[str]) -> str:
    """Return statements with empty lines around functions and classes."""
    text, is_block = "", False
    for code in codes:
        was_block, is_block = is_block, bool(re.search(r"^(async def |def |class |@)", code, re.MULTILINE))
        text = f"{text}\n\n{code.lstrip(chr(10))}" if text and (is_block or was_block) else text + code
    return text.lstrip("\n")


def _closed(kept: Sequence[ast.stmt], names: set[str]) -> set[str]:
    """Return the names that some code needs, and those that what it needs needs."""
    found = set(names)
    while True:
        more = {name for one in kept for name in needed.read(one, found)}
        if more <= found:
            return found
        found |= more


def _same(bound: dict[str, tuple[str, str]], source: Source, statement: ast.stmt, names: set[str]) -> None:
    """Note what a statement binds.

    :raises Refused: if another file has something else of that name.
    """
    for name in names & set(needed.bound(statement)):
        dump = _what(statement, name)
        path, other = bound.setdefault(name, (source.path, dump))
        if path != source.path and other != dump:
            raise Refused(
                f"{name!r} means different things in {path} and in {source.path}: rename one of them."
            )


def _what(statement: ast.stmt, name: str) -> str:
    if isinstance(statement, ast.ImportFrom):
        alias = next(one for one in statement.names if name in needed.bound_by(one))
        # Airflow 2 and 3 have the same at several places.
        path = "airflow" if (statement.module or "").startswith("airflow.") else statement.module
        return f"{path}.{alias.name}"
    if isinstance(statement, ast.Import):
        return name
    if isinstance(statement, ast.Try):
        return (
            _what(next(one for one in statement.body if name in needed.bound(one)), name)
            if any(name in needed.bound(one) for one in statement.body)
            else ast.dump(statement)
        )
    return ast.dump(statement)


def _is_of_a_folder(statement: ast.stmt) -> bool:
    """Tell whether a statement means something else in another folder."""
    return "__file__" in needed.names_of(statement) or bool(getattr(statement, "level", 0))


def _folder(source: Source) -> Path:
    return Path(source.path).resolve().parent


def _docstring(source: Source) -> str:
    first = source.tree.body[0]
    if isinstance(first, ast.Expr) and isinstance(constant(first.value), str):
        return f"{source.code(first)}\n\n"
    return ""


def of_airflow(names: Sequence[str]) -> str:
    """Return the import of some decorators, in Airflow 2 and 3."""
    if not names:
        return ""
    listed = ", ".join(names)
    return (
        f"\ntry:\n    from airflow.sdk import {listed}\n"
        f"except ImportError:  # Airflow 2\n    from airflow.decorators import {listed}\n"
    )


def checked(path: str, code: str) -> str:
    """Return code that parses, with a mark at names that nothing defines."""
    try:
        source = Source(path, code.encode())
    except Unreadable as error:
        line = code.splitlines()[error.line - 1].strip() if error.line <= code.count("\n") else ""
        raise Refused(f"the new file would not parse ({error}: {line}). Join these DAGs by hand.") from None
    changes = Changes(source)
    for node in source.all(ast.Name):
        is_read = isinstance(node.ctx, ast.Load) and not node.id.startswith("__")
        if is_read and source.lookup(node) is None and not origin(source, node):
            changes.todo(node, f"`{node.id}` is not defined in this file.")
    return changes.text(0, len(code))


def todos(text: str, sources: Sequence[Source]) -> list[tuple[int, str]]:
    """Return the lines of what is left to decide, and what it is; not of comments that the DAGs had."""
    own = {line.strip() for source in sources for line in source.lines}
    return [
        (number, line.strip().removeprefix(TODO))
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().startswith(TODO) and line.strip() not in own
    ]
