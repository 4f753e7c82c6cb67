"""What DuckDB has written of a partition: one file, or several above a size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.tables.database import literal

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection


class Written(NamedTuple):
    """A file: its name, how many rows it has, and how many bytes."""

    name: str
    rows: int
    size: int


def written(connection: DuckDBPyConnection, path: Path, rows: int) -> list[Written]:
    """Return the files of a partition, `[Written("data_0.parquet", 305, 7811)]`.

    :param path: a file, or the directory of several: of these one without rows is removed, where there are others
    :param rows: how many all have
    """
    if not path.is_dir():
        return [Written(path.name, rows, path.stat().st_size)]
    files = sorted(path.iterdir())
    listed = ", ".join(literal(str(file)) for file in files)
    asked = f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])"  # noqa: S608
    # By their names alone: of a path with a * or ? in it DuckDB writes the beginning anew.
    found = {str(name).rpartition("/")[2]: int(count) for name, count in connection.execute(asked).fetchall()}
    kept = [Written(file.name, found[file.name], file.stat().st_size) for file in files]
    # When the last row group fills a file, DuckDB has begun another one.
    for one in kept if rows else ():
        if not one.rows:
            (path / one.name).unlink()
    return [one for one in kept if one.rows or not rows]
