"""The files that are checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.config import ConfigError, matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Never DAGs of the project.
_NEVER = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__",
     "node_modules", "site-packages"}
)  # fmt: skip


def python_files(paths: Iterable[Path], exclude: Iterable[str] = ()) -> Iterator[Path]:
    """Yield the Python files of some folders, sorted, and files that are named. Links of folders aren't followed.

    :param exclude: globs of what is left out.
    :raises ConfigError: naming a path that there is not.
    """
    globs = list(exclude)
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = _below(path, globs)
        elif path.is_file():
            # pre-commit names each file that changed.
            found = iter([] if any(matches(str(path), glob) for glob in globs) else [path])
        else:
            raise ConfigError(f"{path}: this file or folder doesn't exist.")
        for file in found:
            # By a link, or by two names, a file is no copy of itself.
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def _below(folder: Path, globs: list[str]) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _NEVER
            and not (here / name / "pyvenv.cfg").exists()
            and not any(matches(str(here / name), glob) for glob in globs)
        )
        for name in sorted(files):
            path = here / name
            if (
                name.endswith(".py")
                and path.is_file()
                and not any(matches(str(path), glob) for glob in globs)
            ):
                yield path
