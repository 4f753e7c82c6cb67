"""What is in a file, by its name: CSV, JSON Lines or Parquet, and how it is compressed."""

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
    """What a file holds.

    :param kind: one of `FORMATS`.
    :param compression: one of the values of `COMPRESSIONS`, `None` where it isn't compressed.
    :param delimiter: what the name says of a table's delimiter.
    """

    kind: str
    compression: str | None
    delimiter: str


def check_format(given: Any) -> None:
    """Check what was said of a file.

    :raises SourceError: if it is not `None`, and none of `FORMATS`
    """
    if given is not None and given not in FORMATS:
        raise SourceError(f"format={shown(given)} is unknown: choose one of {', '.join(FORMATS)}.")


def check_delimiter(delimiter: Any) -> None:
    """Check what is to stand between two values.

    :raises SourceError: if it is not `None`, and no single character that can
    """
    one = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter not in '\r\n"\0 '
    if delimiter is not None and not one:
        raise SourceError(
            f"delimiter={shown(delimiter)} can't separate values: use one character, such as ';' or '\\t'."
        )


def format_of(path: str, given: Any = None) -> Format:
    """Return what is in a file.

    `format_of("orders.csv.gz")` gives `Format("csv", "gzip", ",")`.

    :param path: its path or URI, a glob too: what counts is how the name ends.
    :param given: what was said of it: one of `FORMATS`, whatever it is called
    :raises SourceError: if the name ends in nothing that is known
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
