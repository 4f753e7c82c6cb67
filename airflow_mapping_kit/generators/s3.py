"""What lies in a bucket as tasks: its keys, and the partitions that its directories name."""

from __future__ import annotations

import fnmatch
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import PartitionError, StorageError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator
from airflow_mapping_kit.partitions.keys import parse_partition_key, partition_key
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import listed, s3_client, s3_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ContentsOperator(GeneratorOperator):
    """A generator whose pieces hold several keys each."""

    def remedy(self, plan: list[Any], limit: int) -> str:
        """Return the `batch_size` that makes the files fit."""
        files = sum(len(piece["keys"]) for piece in plan)
        return f"Take more files an instance: batch_size={-(-files // limit)}."


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
    aws_conn_id: str | None = "aws_default",
) -> list[str] | list[list[str]]:
    """List the keys of the objects under a prefix, sorted bytewise.

    Zero-byte keys that end in `/`, which consoles make as folders, are left out. A prefix is text, not a
    directory: `day1` lists `day10/` too, `day1/` doesn't. The listing is read page by page, and of each
    object only its key is kept.

    With `batch_size` or `batch_bytes` the keys come in lists, in order; the smaller limit closes a list.
    `batch_size=1` gives one-key lists. An object over `batch_bytes` is a list of its own: it has to be
    loaded too.

    :param bucket: the bucket's name (templated)
    :param prefix: what the keys begin with, by default anything (templated)
    :param match: a glob on what follows the prefix: `*.csv`. `*` and `?` stand for any characters, `/` too;
        case matters (templated)
    :param modified_since: only objects last modified at this moment or later: ISO 8601 or a datetime, UTC
        where it has no offset (templated)
    :param modified_until: only objects last modified before this moment (templated)
    :param min_size: only objects of at least so many bytes
    :param max_size: only objects of at most so many bytes
    :param batch_size: the most keys in a list
    :param batch_bytes: the most bytes that the objects of a list have together
    :param aws_conn_id: the Airflow connection (templated)
    :return: `["landing/a.csv", ...]`, with a batch limit `[["landing/a.csv", ...], ...]`
    :raises StorageError: if the bucket doesn't exist, the credentials are refused, or a limit is none

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

    entries = (entry for entry in _listed(bucket, prefix, aws_conn_id) if wanted(entry))
    if batch_bytes is None:
        names = _bytewise([entry["Key"] for entry in entries])
        if batch_size is None:
            return names
        return [names[start : start + batch_size] for start in range(0, len(names), batch_size)]
    sized = _bytewise([_Key(entry["Key"], entry["Size"]) for entry in entries])
    return list(_by_bytes(sized, batch_size or len(sized), batch_bytes))


def _contents(
    bucket: str,
    prefix: str = "",
    *,
    match: str | None = None,
    batch_size: int = 1,
    aws_conn_id: str | None = "aws_default",
) -> list[dict[str, Any]]:
    """List the objects under a prefix with what they hold, so that what is rewritten later can be told.

    :param bucket: the bucket's name (templated)
    :param prefix: what the keys begin with (templated)
    :param match: a glob on what follows the prefix (templated)
    :param batch_size: the most keys in a piece
    :param aws_conn_id: the Airflow connection (templated)
    :return: arguments for `expand_kwargs`: `[{"keys": [key, ...], "etags": {key: ETag, ...}}, ...]`
    :raises StorageError: if the bucket doesn't exist, the credentials are refused, or a limit is none

    Example: `s3_contents("lake", "landing/20130101/")` gives `[{"keys": ["landing/20130101/EWR.csv"], "etags":
    {"landing/20130101/EWR.csv": "0ba6f1a2..."}}, ...]`.
    """
    _check_limits(batch_size=batch_size)
    matches = _glob(match)
    etags = {
        entry["Key"]: entry["ETag"].strip('"')
        for entry in _listed(bucket, prefix, aws_conn_id)
        if matches(entry["Key"][len(prefix) :])
    }
    names = _bytewise(list(etags))
    batches = [names[start : start + batch_size] for start in range(0, len(names), batch_size)]
    return [{"keys": batch, "etags": {name: etags[name] for name in batch}} for batch in batches]


def _partitions(
    bucket: str, prefix: str = "", *, match: str | None = None, aws_conn_id: str | None = "aws_default"
) -> list[dict[str, str | None]]:
    """List the Hive-style directories under a prefix as partitions, sorted by their keys.

    A directory is a partition where it holds at least one object. As in Hive and Spark, files and directories
    whose names begin with `_` or `.` (`_SUCCESS`, `_temporary/`) don't count, nor do zero-byte keys that end
    in `/`. Everything else has to lie in directories of the same dimensions in the same order: an object that
    doesn't is an error, since nobody could say to which partition it belongs.

    :param bucket: the bucket's name (templated)
    :param prefix: the directory above the partitions, with or without its last `/` (templated)
    :param match: a glob on what follows the prefix, for a directory that holds other things too:
        `*.parquet`. `*` and `?` stand for any characters, `/` too (templated)
    :param aws_conn_id: the Airflow connection (templated)
    :return: `[{dimension: value}, ...]`, values as text, `None` for `__HIVE_DEFAULT_PARTITION__`
    :raises StorageError: if the bucket doesn't exist or the credentials are refused
    :raises PartitionError: naming the object that lies in no partition, or the two whose dimensions differ

    Example: `s3_partitions("lake", "flights")` gives `[{"date": "2013-01-01", "origin": "EWR"}, ...]` for
    `flights/date=2013-01-01/origin=EWR/data_0.parquet` and its neighbours.
    """
    matches = _glob(match)
    root = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
    # In the order in which they were found: a dict, since a set has none.
    directories: dict[str, str] = {}
    for entry in _listed(bucket, root, aws_conn_id):
        below = entry["Key"][len(root) :]
        if matches(below) and not _is_hidden(below):
            directories.setdefault(below.rpartition("/")[0], entry["Key"])
    partitions, first = [], ""
    for directory, key in directories.items():
        try:
            partition = parse_partition_key(directory)
        except PartitionError as error:
            raise PartitionError(
                f"{shown(f's3://{bucket}/{key}')} lies in no Hive-style directory below {shown(root)}: {error}. "
                f'Move it elsewhere, or leave it out with match, e.g. match="*.parquet".'
            ) from None
        first = first or directory
        if list(partition) != list(parse_partition_key(first)):
            raise PartitionError(
                f"The directories {shown(first)} and {shown(directory)} below s3://{bucket}/{root} have "
                f"different dimensions: point prefix at one set of partitions, or leave one out with match."
            )
        partitions.append(partition)
    return sorted(partitions, key=partition_key)


def _listed(bucket: str, prefix: str, aws_conn_id: str | None) -> Iterator[dict[str, Any]]:
    if not bucket or not isinstance(bucket, str) or "/" in bucket:
        raise StorageError(
            f"bucket is {shown(bucket)}: write the bucket's name alone, such as 'lake', and what the keys "
            f"begin with as prefix"
        )
    if not isinstance(prefix, str):
        raise StorageError(f"prefix is {shown(prefix)}: write text, such as 'landing/'")
    with s3_errors(aws_conn_id, bucket, f"list s3://{bucket}/{prefix}"):
        yield from listed(s3_client(aws_conn_id), bucket, prefix)


def _bytewise(keys: list[Any]) -> list[Any]:
    # Code points sort as their UTF-8 does. S3 lists in this order (the sort then only looks), directory
    # buckets don't.
    keys.sort()
    return keys


def _by_bytes(keys: list[_Key], batch_size: int, batch_bytes: int) -> Iterator[list[str]]:
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
            f"{name} is {shown(value)}: write a moment as ISO 8601, such as '2024-11-20T06:00:00+00:00'"
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
