"""The format of a file, from its name: CSV, JSON Lines or Parquet, and its compression."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown

FORMATS = ("csv", "jsonl", "parquet")
COMPRESSIONS = {"gz": "gzip", "bz2": "bz2", "xz": "xz", "zst": "zstd"}

_SUFFIXES = {
    "csv": "csv",
    "tsv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}
# What people have, and how it is read after all.
_ELSEWHERE = {
    "json": 'if each line is a JSON value, set format="jsonl"; turn an array into lines, e.g. with jq -c ".[]"',
    "txt": 'if it is a table with a header, set format="csv" and its delimiter',
    "zip": "unpack it, or compress it as .gz",
    "tar": "unpack it",
    "tgz": "unpack it",
    "lz4": "compress it as .gz or .zst",
    "snappy": "compress it as .gz or .zst",
    "xlsx": "save it as CSV or Parquet",
    "avro": "write it as Parquet",
    "orc": "write it as Parquet",
}
_ALL = ".csv, .tsv, .jsonl, .ndjson, .parquet, the text ones also with .gz, .bz2, .xz or .zst behind"


class Format(NamedTuple):
    """The format of a file.

    :param kind: one of `FORMATS`.
    :param compression: one of the values of `COMPRESSIONS`, `None` if it isn't compressed.
    :param delimiter: the delimiter of a table, from the name.
    """

    kind: str
    compression: str | None
    delimiter: str


def check_format(given: Any) -> None:
    """Check the given format of a file.

    :raises SourceError: if it is not `None`, and none of `FORMATS`
    """
    if given is not None and given not in FORMATS:
        raise SourceError(f"format={shown(given)} is unknown: choose one of {', '.join(FORMATS)}.")


def check_delimiter(delimiter: Any) -> None:
    """Check the delimiter between two values.

    :raises SourceError: if it is not `None`, and not one character that can separate values
    """
    one = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter not in '\r\n"\0 '
    if delimiter is not None and not one:
        raise SourceError(
            f"delimiter={shown(delimiter)} can't separate values: use one character, such as ';' or '\\t'."
        )


def format_of(path: str, given: Any = None) -> Format:
    """Return the format of a file.

    `format_of("orders.csv.gz")` gives `Format("csv", "gzip", ",")`.

    :param path: its path or URI, or a glob: only the end of the name counts.
    :param given: the format that was set, one of `FORMATS`, whatever the name is
    :raises SourceError: if the name has no known ending
    """
    *_, before, last = ("", "", *path.rpartition("/")[2].lower().split("."))
    compression = COMPRESSIONS.get(last)
    suffix = before if compression else last
    kind = given or _SUFFIXES.get(suffix)
    if kind is None:
        hint = _ELSEWHERE.get(
            suffix, "name its format, e.g. format='jsonl'; for a folder name its files, e.g. orders/*.csv"
        )
        raise SourceError(f"{shown(path)} has none of the known endings ({_ALL}): {hint}.")
    if kind == "parquet" and compression:
        raise SourceError(
            f"{shown(path)} is a compressed Parquet file, which can't be read in parts: Parquet compresses its own "
            f"content. Write it without .{last}."
        )
    return Format(kind, compression, "\t" if suffix == "tsv" else ",")
