"""Rows of files as a task."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.generators.base import GeneratorOperator, generator
from airflow_mapping_kit.generators.sizes import size_of
from airflow_mapping_kit.plans.arguments import known_at_run_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class FileRowsOperator(GeneratorOperator):
    """A generator that checks how files are to be read when the DAG is parsed, and reads them when it runs."""

    leaves_batches_to_the_operator = True

    def check_literals(self) -> None:
        """Check what is known of the files: how the name ends, the format, columns, delimiter and encoding.

        :raises MappingKitError: naming what can't be read.
        """
        # A DAG's file is loaded again for every mapped instance: only where it has files.
        from airflow_mapping_kit.sources.rows import Files

        try:
            given = inspect.signature(_rows).bind(*self.op_args, **self.op_kwargs).arguments
        except TypeError:  # the call says what is wrong
            return
        if not known_at_run_time(given.get("batch_size")):
            size_of(given.get("batch_size"))
        of_files = {name: value for name, value in given.items() if name != "batch_size"}
        known = {name: value for name, value in of_files.items() if not known_at_run_time(value)}
        # Its format may be said by what is known only then.
        if known.keys() != of_files.keys():
            known.pop("path", None)
        Files(**{"path": None, **known}).check()


def _rows(
    path: str,
    *,
    batch_size: int | None = None,  # noqa: ARG001 -- the operator makes the batches
    columns: Sequence[str] | None = None,
    format: Literal["csv", "jsonl", "parquet"] | None = None,  # noqa: A002 -- what it is called everywhere
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[Any]:
    """Return the rows of a file, or of all files that a glob names, in the order of their names.

    | its name ends in | a row is |
    |---|---|
    | `.csv`, `.tsv` | a dict of text, with the columns of the first line; an empty value is `""` |
    | `.jsonl`, `.ndjson` | the JSON value of the line |
    | `.parquet` | a dict; dates, times, decimals and UUIDs are text, nested values are lists and dicts |

    `.gz`, `.bz2`, `.xz` or `.zst` may follow `.csv`, `.tsv`, `.jsonl` and `.ndjson`. Files are read as a stream: only
    some rows are in memory, however many there are. If a file changes while it is read, the task fails, and Airflow
    retries it.

    :param path: a path; `s3://connection@bucket/key`, with the Airflow connection before the `@`; or any URI that
        Airflow has a file system for. `*`, `?`, `[...]` and `**` match files as in a shell, except files that begin
        with `_` or `.` (templated)
    :param batch_size: how many rows a batch has. Default: single rows, or batches of a chosen size if only batched
        tasks are mapped over them (templated)
    :param columns: take only these columns, in this order; other columns of Parquet are not even read (templated)
    :param format: `"csv"`, `"jsonl"` or `"parquet"`, if the name doesn't show it (templated)
    :param delimiter: the character between two values of CSV. Default: a comma, for `.tsv` a tab (templated)
    :param encoding: the encoding of text: `"cp1252"`, `"utf-16"`. Default: UTF-8, with or without a byte order mark
        (templated)
    :return: `[row, ...]`; with `batch_size`, lists of rows
    :raises SourceError: naming the file and the line, if a row is broken, has another encoding, has too few or
        too many values, or is longer than 1,048,576 characters; or if a column is missing or is there twice
    :raises StorageError: if the file may not be read
    :raises AirflowException: if the file doesn't exist, or changes while it is read

    Example: `file_rows("s3://aws@lake/orders/*.csv.gz", batch_size=2)` gives
    `[[{"id": "1", "city": "Oslo"}, {"id": "2", "city": "Rome"}], [{"id": "3", "city": "Lima"}]]`.
    """
    from airflow_mapping_kit.sources.rows import Files

    files = Files(path, columns=columns, format=format, delimiter=delimiter, encoding=encoding)
    yield from files.rows()


_rows.__name__ = "file_rows"
file_rows = generator(_rows, operator_class=FileRowsOperator)
