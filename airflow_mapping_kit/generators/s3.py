"""The contents of a bucket, as tasks: its keys, and the partitions of its directories."""

from __future__ import annotations

import fnmatch
import re
from datetime import datetime, timezone
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError, StorageError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator
from airflow_mapping_kit.partitions.keys import parse_partition_key, partition_key
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import listed, s3_client, s3_errors
from airflow_mapping_kit.storage.terms import check_terms, say_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# What S3 has the names of directory buckets end in.
_DIRECTORY_BUCKET = "--x-s3"


class ContentsOperator(GeneratorOperator):
    """A generator whose pieces hold several keys each."""

    def remedy(self, plan: list[Any], limit: int) -> str:
        """Return the `batch_size` that makes the files fit."""
        files = sum(len(piece["keys"]) for piece in plan)
        return f"Put more files into an instance: batch_size={-(-files // limit)}."


class _Key(NamedTuple):
    name: str
    size: int


def _keys(
    bucket: str,
    prefix: str = "",
    *,
    match: str | None = None,
    modified_since: str | datetime | None = None,
    modified_until: str | datetime | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    batch_size: int | None = None,
    batch_bytes: int | None = None,
    inventory: str | None = None,
    aws_conn_id: str | None = "aws_default",
    requester_pays: bool = False,
    expected_bucket_owner: str | None = None,
) -> Iterator[Any]:
    """Return the keys of the objects under a prefix, in the order in which S3 lists them: sorted by bytes.

    Empty keys that end in `/`, which consoles create for folders, are left out. A prefix is text, not a
    directory: `day1` also lists `day10/`, but `day1/` doesn't. The listing is read page by page, 1,000 keys at a time,
    and passed on as it comes. S3 lists directory buckets (`…--x-s3`) in no order. Their keys are all read and then
    sorted, which takes about 150 bytes of memory per key.

    A listing of 100 million keys takes hours. S3 can write an inventory of a bucket every day or week. With `inventory`
    the keys come from it, in its order. They are the keys that the bucket had when it was written.

    With `batch_size` or `batch_bytes` the keys come in lists, in order. A list ends at the limit that it reaches first.
    `batch_size=1` returns lists of one key. An object larger than `batch_bytes` is a list of its own.

    :param bucket: the bucket's name (templated)
    :param prefix: the beginning of the keys. Default: all keys (templated)
    :param match: a glob for the rest of the key, after the prefix: `*.csv`. `*` and `?` match any characters, also `/`;
        upper and lower case differ (templated)
    :param modified_since: only objects last modified at this time or later: ISO 8601 or a datetime, UTC
        if it has no offset (templated)
    :param modified_until: only objects last modified before this time (templated)
    :param min_size: only objects of at least this many bytes
    :param max_size: only objects of at most this many bytes
    :param batch_size: the most keys in a list. Default: single keys, or lists of a chosen size if only batched tasks
        are mapped over them
    :param batch_bytes: the most bytes that the objects of a list have together
    :param inventory: the URI of an inventory's `manifest.json`, as CSV or Parquet:
        `s3://connection@inventories/lake/daily/2024-11-20T01-00Z/manifest.json` (templated)
    :param aws_conn_id: the Airflow connection for the listing (templated)
    :param requester_pays: whether the connection's account pays for the listing, which some buckets require
    :param expected_bucket_owner: the account that must own the bucket, twelve digits. S3 refuses to list a bucket of
        another account (templated)
    :return: `["landing/a.csv", ...]`; with a batch limit, `[["landing/a.csv", ...], ...]`
    :raises StorageError: if the bucket doesn't exist, the credentials are refused, or a limit is not valid
    :raises SourceError: if the inventory is of another bucket, or lacks a field that a limit needs

    Example: `s3_keys("lake", "landing/20130101/", match="*.csv", batch_size=1)` gives
    `[["landing/20130101/EWR.csv"], ["landing/20130101/JFK.csv"], ["landing/20130101/LGA.csv"]]`.
    """
    _check_limits(min_size=min_size, max_size=max_size, batch_size=batch_size, batch_bytes=batch_bytes)
    since, until = _moment("modified_since", modified_since), _moment("modified_until", modified_until)
    if since and until and since >= until:
        raise StorageError(
            f"modified_since {since.isoformat()} is not before modified_until {until.isoformat()}: swap them"
        )
    if min_size is not None and max_size is not None and min_size > max_size:
        raise StorageError(f"min_size {min_size} is over max_size {max_size}: swap them")
    matches = _glob(match)

    def wanted(entry: dict[str, Any]) -> bool:
        return (
            (since is None or entry["LastModified"] >= since)
            and (until is None or entry["LastModified"] < until)
            and (min_size is None or entry["Size"] >= min_size)
            and (max_size is None or entry["Size"] <= max_size)
            and bool(matches(entry["Key"][len(prefix) :]))
        )

    if inventory:
        needed = {
            "LastModified": since or until,
            "Size": (batch_bytes, min_size, max_size) != (None, None, None),
        }
        if requester_pays or expected_bucket_owner:
            raise StorageError(
                "requester_pays and expected_bucket_owner apply to a listing, and with inventory there is none: "
                "leave them out"
            )
        entries = _inventoried(inventory, bucket, prefix, [name for name, asked in needed.items() if asked])
    else:
        entries = _listed(bucket, prefix, aws_conn_id, requester_pays, expected_bucket_owner)
    found = (_Key(entry["Key"], entry.get("Size", 0)) for entry in entries if wanted(entry))
    # Code points sort as their UTF-8 does.
    keys = iter(sorted(found)) if bucket.endswith(_DIRECTORY_BUCKET) else found
    if batch_size is None and batch_bytes is None:
        yield from (key.name for key in keys)
    else:
        yield from _in_lists(keys, batch_size or inf, batch_bytes or inf)


def _contents(
    bucket: str,
    prefix: str = "",
    *,
    match: str | None = None,
    batch_size: int = 1,
    aws_conn_id: str | None = "aws_default",
    requester_pays: bool = False,
    expected_bucket_owner: str | None = None,
) -> list[dict[str, Any]]:
    """List the objects under a prefix with their ETags, so that later tasks can tell whether one was rewritten.

    :param bucket: the bucket's name (templated)
    :param prefix: the beginning of the keys (templated)
    :param match: a glob for the rest of the key, after the prefix (templated)
    :param batch_size: the most keys in a piece
    :param aws_conn_id: the Airflow connection (templated)
    :param requester_pays: whether the connection's account pays for the listing
    :param expected_bucket_owner: the account that has to own the bucket, twelve digits (templated)
    :return: arguments for `expand_kwargs`: `[{"keys": [key, ...], "etags": {key: ETag, ...}}, ...]`
    :raises StorageError: if the bucket doesn't exist, the credentials are refused, or a limit is not valid

    Example: `s3_contents("lake", "landing/20130101/")` gives `[{"keys": ["landing/20130101/EWR.csv"], "etags":
    {"landing/20130101/EWR.csv": "0ba6f1a2..."}}, ...]`.
    """
    _check_limits(batch_size=batch_size)
    matches = _glob(match)
    etags = {
        entry["Key"]: entry["ETag"].strip('"')
        for entry in _listed(bucket, prefix, aws_conn_id, requester_pays, expected_bucket_owner)
        if matches(entry["Key"][len(prefix) :])
    }
    names = sorted(etags)
    batches = [names[start : start + batch_size] for start in range(0, len(names), batch_size)]
    return [{"keys": batch, "etags": {name: etags[name] for name in batch}} for batch in batches]


def _partitions(
    bucket: str,
    prefix: str = "",
    *,
    match: str | None = None,
    aws_conn_id: str | None = "aws_default",
    requester_pays: bool = False,
    expected_bucket_owner: str | None = None,
) -> list[dict[str, str | None]]:
    """List the Hive-style directories under a prefix as partitions, sorted by their keys.

    A directory with at least one object is a partition. Files and directories whose names begin with `_` or `.`
    (`_SUCCESS`, `_temporary/`) don't count, as in Hive and Spark, and neither do empty keys that end in `/`.
    All other objects must be in directories of the same dimensions in the same order. An object that isn't is an
    error, because nobody can say to which partition it belongs.

    :param bucket: the bucket's name (templated)
    :param prefix: the directory above the partitions, with or without its last `/` (templated)
    :param match: a glob for the rest of the key, to leave out other objects: `*.parquet`. `*` and `?` match any
        characters, also `/` (templated)
    :param aws_conn_id: the Airflow connection (templated)
    :param requester_pays: whether the connection's account pays for the listing
    :param expected_bucket_owner: the account that has to own the bucket, twelve digits (templated)
    :return: `[{dimension: value}, ...]`, values as text, `None` for `__HIVE_DEFAULT_PARTITION__`
    :raises StorageError: if the bucket doesn't exist or the credentials are refused
    :raises PartitionError: naming the object that is in no partition, or two directories whose dimensions differ

    Example: `s3_partitions("lake", "flights")` gives `[{"date": "2013-01-01", "origin": "EWR"}, ...]` for
    `flights/date=2013-01-01/origin=EWR/data_0.parquet` and its neighbours.
    """
    matches = _glob(match)
    root = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
    # In the order in which they were found: a dict, since a set has none.
    directories: dict[str, str] = {}
    for entry in _listed(bucket, root, aws_conn_id, requester_pays, expected_bucket_owner):
        below = entry["Key"][len(root) :]
        if matches(below) and not _is_hidden(below):
            directories.setdefault(below.rpartition("/")[0], entry["Key"])
    partitions, first = [], ""
    for directory, key in directories.items():
        try:
            partition = parse_partition_key(directory)
        except PartitionError as error:
            raise PartitionError(
                f"{shown(f's3://{bucket}/{key}')} is in no Hive-style directory below {shown(root)}: {error}. Move "
                'it elsewhere, or leave it out with match, e.g. match="*.parquet".'
            ) from None
        first = first or directory
        if list(partition) != list(parse_partition_key(first)):
            raise PartitionError(
                f"The directories {shown(first)} and {shown(directory)} below s3://{bucket}/{root} have "
                f"different dimensions: point prefix at one set of partitions, or leave one out with match."
            )
        partitions.append(partition)
    return sorted(partitions, key=partition_key)


def _inventoried(uri: str, bucket: str, prefix: str, needed: list[str]) -> Iterator[dict[str, Any]]:
    # A DAG's file is loaded again for every mapped instance, and reads nothing.
    from airflow_mapping_kit.sources.inventory import inventoried

    _check_place(bucket, prefix)
    return (
        entry
        for entry in inventoried(uri, bucket, needed)
        # Where an inventory has no sizes, what is called like a folder is taken for one.
        if entry["Key"].startswith(prefix) and (entry.get("Size") or not entry["Key"].endswith("/"))
    )


def _check_place(bucket: Any, prefix: Any) -> None:
    if not bucket or not isinstance(bucket, str) or "/" in bucket:
        raise StorageError(
            f"bucket is {shown(bucket)}: write the bucket's name alone, such as 'lake', and what the keys "
            f"begin with as prefix"
        )
    if not isinstance(prefix, str):
        raise StorageError(f"prefix is {shown(prefix)}: write text, such as 'landing/'")


def _listed(
    bucket: str, prefix: str, aws_conn_id: str | None, requester_pays: bool, expected_bucket_owner: str | None
) -> Iterator[dict[str, Any]]:
    _check_place(bucket, prefix)
    check_terms(requester_pays=requester_pays, expected_bucket_owner=expected_bucket_owner)
    with s3_errors(aws_conn_id, bucket, f"list s3://{bucket}/{prefix}"):
        client = s3_client(aws_conn_id)
        say_terms(client, requester_pays=requester_pays, owners={bucket: expected_bucket_owner})
        yield from listed(client, bucket, prefix)


def _in_lists(keys: Iterator[_Key], batch_size: float, batch_bytes: float) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for key in keys:
        if batch and (len(batch) == batch_size or held + key.size > batch_bytes):
            yield batch
            batch, held = [], 0
        batch.append(key.name)
        held += key.size
    if batch:
        yield batch


def _check_limits(**limits: Any) -> None:
    for name, limit in limits.items():
        least = 1 if name.startswith("batch") else 0
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < least):
            raise StorageError(f"{name} is {shown(limit)}: pass a whole number of at least {least}")


def _moment(name: str, value: str | datetime | None) -> datetime | None:
    if value is None:
        return None
    try:
        # Python 3.10 doesn't read the Z that S3 and many others write.
        moment = (
            value if isinstance(value, datetime) else datetime.fromisoformat(re.sub("[Zz]$", "+00:00", value))
        )
    except (TypeError, ValueError):
        raise StorageError(
            f"{name} is {shown(value)}: write a time as ISO 8601, such as '2024-11-20T06:00:00+00:00'"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _glob(match: str | None) -> Callable[[str], Any]:
    if match is None:
        return lambda _: True
    if not isinstance(match, str) or not match:
        raise StorageError(f"match is {shown(match)}: write a glob, such as '*.csv'")
    return re.compile(fnmatch.translate(match)).match


def _is_hidden(path: str) -> bool:
    return any(name.startswith(("_", ".")) and "=" not in name for name in path.split("/"))


_keys.__name__ = "s3_keys"
s3_keys = generator(_keys)
_contents.__name__ = "s3_contents"
s3_contents = generator(_contents, operator_class=ContentsOperator)
_partitions.__name__ = "s3_partitions"
s3_partitions = generator(_partitions)
