"""How a file's path gets into the log, byte for byte: a removal that spells it otherwise removes nothing."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_mapping_kit.exceptions import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What no engine escapes.
_PLAIN = re.compile(r"[-\w./=]*", re.ASCII)


def as_removed(name: str, paths: Sequence[str]) -> list[str]:
    """Return what to call files so that deltalake writes their removal as the log has their addition.

    `["a=b%2520c/1.parquet"]` gives `["a=b%20c/1.parquet"]`: it escapes what it is given once more.

    :param name: of the table, for the error
    :param paths: as the log has them
    :raises TargetError: naming a file that deltalake would write otherwise
    """
    strange = [path for path in paths if not _PLAIN.fullmatch(path)]
    spelled = dict(zip(strange, _written(strange), strict=True))
    for path, written in spelled.items():
        if written != path:
            raise TargetError(
                f"The Delta table {name} has the file {path}. deltalake would write its removal as {written}, so "
                f"its rows would stay: rewrite the partition (OPTIMIZE), or load it with the engine that wrote it"
            )
    return [unquote(path) if path in spelled else path for path in paths]


def _written(paths: Sequence[str]) -> list[str]:
    """Return what deltalake's log has of the removal of these paths, unescaped: asked of it, in a table for that."""
    if not paths:
        return []
    from deltalake import DeltaTable, Field, Schema
    from deltalake.schema import PrimitiveType
    from deltalake.transaction import RemoveAction

    with tempfile.TemporaryDirectory(prefix="mapping-kit-") as folder:
        table = DeltaTable.create(folder, Schema([Field("x", PrimitiveType("string"))]))
        actions: list[Any] = [RemoveAction(unquote(path), True, 0, 1, {}) for path in paths]
        table.create_write_transaction(actions, "append", table.schema(), [])
        log = Path(folder, "_delta_log", f"{table.version() + 1:020}.json").read_text("utf-8")
    return [entry["remove"]["path"] for line in log.splitlines() if "remove" in (entry := json.loads(line))]
