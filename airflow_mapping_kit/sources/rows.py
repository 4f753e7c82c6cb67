"""Rows of files, one after the other, of any format and on any storage."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.sources.columns import checked_columns
from airflow_mapping_kit.sources.formats import Format, check_delimiter, check_format, format_of
from airflow_mapping_kit.sources.text import checked_encoding
from airflow_mapping_kit.storage.buckets import s3_client
from airflow_mapping_kit.storage.found import check_path, found, is_glob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Files of rows, and how they are read.

    :param path: a path or a glob; `None` if it isn't known yet, to check everything else.
    :param columns: the columns to read. Default: all.
    :param format: one of `formats.FORMATS`. Default: from the name.
    :param delimiter: the character between two values of CSV. Default: from the name.
    :param encoding: of text.
    """

    path: str | None
    columns: Sequence[str] | None = None
    format: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    def check(self) -> None:
        """Check what is known before anything is read.

        :raises MappingKitError: naming the value that is not valid
        """
        checked_encoding(self.encoding)
        checked_columns(self.columns)
        check_delimiter(self.delimiter)
        check_format(self.format)
        if self.path is not None:
            check_path(self.path)
            if not is_glob(self.path):
                format_of(self.path, self.format)

    def rows(self) -> Iterator[Any]:
        """Yield the rows of all files, in the order of their names.

        :raises SourceError: naming the file, and the line or the row
        :raises StorageError: if it can't be read
        :raises AirflowException: if there is no file, or if one changes while it is read
        """
        # A DAG's file is loaded again for every mapped instance, and reads nothing.
        from airflow_mapping_kit.storage.opened import opened

        self.check()
        files = found(self.path or "")
        kinds = self._kinds(files)
        client = cache(s3_client)
        names: frozenset[str] | None = None
        for file, kind in kinds.items():
            number = 0
            with opened(file, client, in_order=kind.kind != "parquet") as raw:
                for row in self._of_one(raw, one_line(file), kind):
                    # Of JSON Lines each object has the fields that it has.
                    if not number and kind.kind != "jsonl":
                        names = names or frozenset(row)
                        if names != row.keys():
                            raise SourceError(_different(files[0], file, names, row))
                    number += 1
                    yield row
            log.info("%s has %s rows.", one_line(file), f"{number:,}")

    def _kinds(self, files: Sequence[str]) -> dict[str, Format]:
        kinds = {file: format_of(file, self.format) for file in files}
        for file, kind in kinds.items():
            if kind.kind != kinds[files[0]].kind:
                raise SourceError(
                    f"{shown(self.path)} matches files of different formats, {shown(files[0])} and {shown(file)}: "
                    "narrow the glob to one format."
                )
        return kinds

    def _of_one(self, raw: BinaryIO, name: str, kind: Format) -> Iterator[Any]:
        from airflow_mapping_kit.sources.compressed import unpacked
        from airflow_mapping_kit.sources.json_lines import json_lines
        from airflow_mapping_kit.sources.parquet import parquet_rows
        from airflow_mapping_kit.sources.tables import table_rows

        columns = checked_columns(self.columns)
        if kind.kind == "parquet":
            yield from parquet_rows(raw, name, columns=columns)
            return
        encoding = checked_encoding(self.encoding)
        with unpacked(raw, kind.compression, name) as content:
            if kind.kind == "jsonl":
                yield from json_lines(content, name, encoding=encoding, columns=columns)
            else:
                given, said = self.delimiter, kind.delimiter
                yield from table_rows(
                    content, name, encoding=encoding, delimiter=given, by_name=said, columns=columns
                )


def _different(first: str, file: str, names: frozenset[str], row: dict[str, Any]) -> str:
    lacks, has = sorted(names - row.keys()), sorted(row.keys() - names)
    difference = " and ".join(
        text for text in (lacks and f"lacks {shown(lacks)}", has and f"has {shown(has)} beside") if text
    )
    return (
        f"{one_line(file)} has other columns than {one_line(first)}: it {difference}. Read them with separate "
        "generators, or name the columns that all of them have: columns=[...]."
    )
