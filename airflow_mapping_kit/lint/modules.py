"""Modules of the same project: which file an import means."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

# So far up a project's own packages are looked for, and in these folders there.
_UP = 5
_WITHIN = ("", "dags", "plugins", "src", "include")


def is_own(dotted: str) -> bool:
    """Tell whether what an import names may be of the project: not of Python, not of Airflow."""
    top = dotted.partition(".")[0]
    return "." in dotted and top not in _NOT_OWN


def file_of(importer: str, dotted: str) -> tuple[Path, str] | None:
    """Return the file in which a project defines what an import names, and its name there.

    :param importer: the path of the file that imports it.
    :param dotted: `shop.tables.names`, or `.tables.names` of an import that is relative.
    """
    name = dotted.lstrip(".")
    module, _, last = name.rpartition(".")
    up = len(dotted) - len(name)
    found = _file(str(Path(importer).resolve().parent), module, up)
    return None if found is None else (found, last)


@lru_cache(maxsize=4096)
def _file(folder: str, module: str, up: int) -> Path | None:
    here = Path(folder)
    if up:
        places = [here, *here.parents][up - 1 : up]
    else:
        if not module:
            return None
        places = [
            one / within for one in [here, *here.parents][:_UP] for within in _WITHIN if one != one.parent
        ]
    path = module.replace(".", "/")
    for place in places:
        for file in (
            (place / f"{path}.py", place / path / "__init__.py") if path else (place / "__init__.py",)
        ):
            if file.is_file():
                return file
    return None


_NOT_OWN = frozenset(sys.stdlib_module_names) | {"airflow", "airflow_mapping_kit", "builtins"}
