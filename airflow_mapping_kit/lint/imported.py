"""Functions that other modules of the project define."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.modules import file_of, is_own
from airflow_mapping_kit.lint.origins import import_of, origin
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from pathlib import Path

# A package may only pass on what a module of its own defines: so often that is followed.
_STEPS = 2


def imported(source: Source, node: ast.AST) -> tuple[Source, ast.FunctionDef | ast.AsyncFunctionDef] | None:
    """Return the function of another module of the project that an expression names, and that module.

    :param source: the file that the expression is in.
    :param node: `tables.names`, of `from shop import tables`.
    """
    path = origin(source, node)
    for _ in range(_STEPS):
        found = file_of(source.path, path) if is_own(path) else None
        module = None if found is None else _read(found[0])
        if found is None or module is None:
            return None
        source = module
        for one in source.tree.body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == found[1]:
                return source, one
        named = (
            alias
            for one in source.tree.body
            if isinstance(one, ast.ImportFrom)
            for alias in one.names
            if (alias.asname or alias.name) == found[1]
        )
        passed_on = next(named, None)
        if passed_on is None:
            return None
        path = import_of(source, passed_on)
    return None


def _read(path: Path) -> Source | None:
    try:
        status = path.stat()
        return _read_as_of(path, status.st_mtime_ns, status.st_size)
    except (OSError, Unreadable):
        return None


@lru_cache(maxsize=8)
def _read_as_of(path: Path, _changed: int, _size: int) -> Source:
    return Source(str(path), path.read_bytes())
