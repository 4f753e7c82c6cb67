"""S3 inventories: lists of a bucket's objects that S3 writes every day or week."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote_plus

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.sources.compressed import unpacked
from airflow_mapping_kit.sources.parquet import parquet_rows
from airflow_mapping_kit.sources.tables import table_rows
from airflow_mapping_kit.storage.buckets import s3_client
from airflow_mapping_kit.storage.found import s3_file
from airflow_mapping_kit.storage.opened import opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# What a listing calls it, and an inventory as CSV and as Parquet.
_NAMES = {
    "Key": ("Key", "key"),
    "Size": ("Size", "size"),
    "LastModified": ("LastModifiedDate", "last_modified_date"),
    "latest": ("IsLatest", "is_latest"),
    "deleted": ("IsDeleteMarker", "is_delete_marker"),
}
_SCHEMAS = {"CSV": re.compile(r"\w+"), "Parquet": re.compile(r"(?:required|optional)\s+\w+\s+(\w+)")}
_TRUE = (True, "true")
_MOST_BYTES = 64 << 20


def inventoried(uri: str, bucket: str, needed: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the objects of a bucket from an inventory, file by file, like the entries of a listing.

    Older versions and the marks of deleted objects are left out. Entries have `Size` if the inventory has it.

    :param uri: of the `manifest.json`: `s3://connection@inventories/lake/daily/2024-11-20T01-00Z/manifest.json`. Its
        files lie in the same bucket
    :param bucket: the bucket that the inventory must belong to
    :param needed: the needed fields beside `Key`: `Size`, `LastModified`, or both
    :raises SourceError: if it is not a manifest, is of another bucket or an unknown format, or lacks a needed field
    """
    place = s3_file(uri)
    if place is None:
        raise SourceError(
            f"inventory={shown(uri)} is not in S3: write s3://connection@bucket/…/manifest.json"
        )
    client = cache(s3_client)
    with opened(uri, client) as file:
        manifest = _manifest(file.read(_MOST_BYTES), one_line(uri))
    if manifest.get("sourceBucket") != bucket:
        raise SourceError(
            f"{one_line(uri)} is the inventory of {shown(manifest.get('sourceBucket'))}, not of {bucket!r}."
        )
    names = _names(manifest, {"Key", *needed}, one_line(uri))
    csv = manifest["fileFormat"] == "CSV"
    for data in manifest["files"]:
        with opened(uri.removesuffix(place[2]) + data["key"], client, in_order=csv) as raw:
            for row in _rows(raw, one_line(data["key"]), manifest, list(names.values())):
                entry = {name: row[column] for name, column in names.items()}
                if entry.pop("latest", True) in _TRUE and entry.pop("deleted", False) not in _TRUE:
                    yield _as_listed(entry, encoded=csv)


def _manifest(content: bytes, name: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content)
        is_one = bool(manifest["fileSchema"]) and all(
            isinstance(file["key"], str) for file in manifest["files"]
        )
    except (ValueError, KeyError, TypeError):
        is_one = False
    if not is_one:
        raise SourceError(
            f"{name} is not the manifest of an S3 inventory: name the manifest.json in the folder of a day."
        )
    if manifest.get("fileFormat") not in _SCHEMAS:
        raise SourceError(
            f"{name} is an inventory as {shown(manifest.get('fileFormat'))}: configure it in S3 as CSV or Parquet."
        )
    return manifest


def _names(manifest: dict[str, Any], needed: Collection[str], whose: str) -> dict[str, str]:
    """Return what the columns that are read are called in the inventory."""
    has = _SCHEMAS[manifest["fileFormat"]].findall(manifest["fileSchema"])
    found = {name: column for name, columns in _NAMES.items() for column in columns if column in has}
    for name in needed:
        if name not in found:
            raise SourceError(
                f"{whose} lacks the field {name}: add it to the inventory's metadata fields, or leave out the "
                "arguments that need it."
            )
    return {name: column for name, column in found.items() if name in needed or name != "LastModified"}


def _rows(raw: BinaryIO, name: str, manifest: dict[str, Any], columns: list[str]) -> Iterator[dict[str, Any]]:
    if manifest["fileFormat"] == "Parquet":
        yield from parquet_rows(raw, name, columns=columns)
        return
    header = _SCHEMAS["CSV"].findall(manifest["fileSchema"])
    with unpacked(raw, "gzip" if name.endswith(".gz") else None, name) as content:
        yield from table_rows(content, name, encoding="utf-8", delimiter=",", columns=columns, header=header)


def _as_listed(entry: dict[str, Any], *, encoded: bool) -> dict[str, Any]:
    if encoded:
        entry["Key"] = unquote_plus(entry["Key"])
    if "Size" in entry:
        entry["Size"] = int(entry["Size"] or 0)
    if "LastModified" in entry:
        # Python 3.10 doesn't read the Z.
        entry["LastModified"] = datetime.fromisoformat(entry["LastModified"].replace("Z", "+00:00"))
    return entry
