"""Input and output with an item of a loop."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.calls import function_of
from airflow_mapping_kit.lint.loops import reads
from airflow_mapping_kit.lint.origins import origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.lint.project import File

_IO = re.compile(
    r"(get|post|put|patch|delete|head|request|urlopen|send\w*|upload\w*|download\w*|insert\w*|update\w*|write\w*|save\w*|"
    r"load\w*|execute\w*|executemany|run\w*|publish\w*|copy\w*|move\w*|remove_\w+|fetch\w*|read\w*|push\w*|store\w*|"
    r"process\w*|ingest\w*|import_\w+|export\w*|sync\w*|create\w*|transfer\w*|trigger\w*|call_\w+|"
    r"to_(csv|sql|parquet|excel|gbq|feather|pickle)|open|scrape\w*|crawl\w*|extract\w*|result)"
)
_PURE = frozenset("get update copy split strip format replace lower upper items keys values append".split())
# What works on values that are there already.
_OF_VALUES = ("json.", "copy.", "re.", "datetime.", "pendulum.", "dateutil.", "importlib.", "ast.", "math.", "uuid.",
              "logging.")  # fmt: skip
_OF_NETWORK = ("requests.", "httpx.", "urllib.request.", "boto3.", "smtplib.", "ftplib.", "paramiko.", "psycopg2.",
               "shutil.", "os.", "subprocess.")  # fmt: skip
_PATHS = ("os.path.", "os.environ", "os.getenv", "os.sep")
# To clear away is best effort.
_CLEARS = frozenset({"os.remove", "os.unlink", "os.rmdir", "os.kill", "shutil.rmtree"})
_STEPS = 3


def works_with(file: File, statements: Iterable[ast.AST], names: set[str], steps: int = _STEPS) -> bool:
    """Tell whether statements read or write something outside with the values of some names.

    A function of the file is looked into: it may only compute.
    """
    for statement in statements:
        for call in ast.walk(statement):
            if not isinstance(call, ast.Call) or not _is_given(call, names):
                continue
            function = function_of(file.source, call.func)
            if function is not None:
                if steps and _does_any(file, function, steps - 1):
                    return True
            elif _is_io(file, call):
                return True
    return False


def _does_any(file: File, function: ast.AST, steps: int) -> bool:
    for call in ast.walk(function):
        if not isinstance(call, ast.Call):
            continue
        called = function_of(file.source, call.func)
        if called is None:
            if _is_io(file, call):
                return True
        elif called is not function and steps and _does_any(file, called, steps - 1):
            return True
    return False


def _is_given(call: ast.Call, names: set[str]) -> bool:
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if isinstance(call.func, ast.Attribute):
        given.append(call.func.value)
    return any(reads(one, names) for one in given)


def _is_io(file: File, call: ast.Call) -> bool:
    path = origin(file.source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    if path.startswith("builtins."):
        return name == "open"
    if path in _CLEARS or path.startswith((*_OF_VALUES, *_PATHS)):
        return False
    if path.startswith(_OF_NETWORK):
        return True
    if name == "insert" and call.args and isinstance(call.args[0], ast.Constant):
        return False  # list.insert(0, item)
    return _IO.fullmatch(name) is not None and name not in _PURE
