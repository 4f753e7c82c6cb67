"""The formats of tables: each looks a table up and publishes into it. Their SDKs are imported when that is done."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_mapping_kit.exceptions import MappingKitError, TargetError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.described import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.tables.described import Home, Table
    from airflow_mapping_kit.tables.staged import Staged

FORMATS = ("iceberg", "delta", "ducklake", "sql")


class Published(TypedDict):
    """What a commit did. Formats may say more.

    :param snapshot: its number or name, by which the table's history knows it.
    :param rows: how many it put into the table.
    :param replaced_files: how many files of the table it took out.
    :param left_over: how many files of earlier tries were removed.
    """

    snapshot: int | str
    rows: int
    replaced_files: int | None
    left_over: int


def look(kind: str, arguments: Mapping[str, Any], homes: Mapping[str, Home]) -> Table:
    """Look a table up, by `look(**arguments, homes=...)` of `tables/<kind>/look.py`.

    :raises MappingKitError: if there is none such, or it can't be staged for
    """
    found: Table = _module(kind, "look").look(**arguments, homes=homes)
    return found


def publish(table: Table, pieces: Sequence[Staged], run: str) -> Published:
    """Replace exactly these partitions by what was staged for them, in one commit; all others stay.

    By `publish(table, pieces, run)` of `tables/<kind>/publish.py`, which keeps to this: publishing again what is
    published changes nothing; what somebody else committed in between is planned for anew; a file that is part of
    the table already is left alone; files below the run's prefix that no snapshot knows are removed, no others.

    :raises TargetError: naming the partition, or the file, if they can't be replaced exactly
    """
    found: Published = _module(table[KIND], "publish").publish(table, pieces, run)  # type: ignore[literal-required]
    return found


def _module(kind: Any, what: str) -> Any:
    if kind not in FORMATS:
        raise TargetError(f"{shown(kind)} is no format of tables: one of {', '.join(FORMATS)}")
    try:
        return import_module(f"airflow_mapping_kit.tables.{kind}.{what}")
    except ModuleNotFoundError as error:
        raise MappingKitError(
            f"{error.name} isn't installed where this task runs: pip install 'airflow-mapping-kit[{kind}]'"
        ) from error
