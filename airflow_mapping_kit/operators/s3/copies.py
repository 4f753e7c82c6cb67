"""Copy an object, in one request or in parts: inside S3, or from one store to another through this process."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_mapping_kit.operators.s3.uploads import unless_there, upload_in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from airflow_mapping_kit.operators.s3.contents import StoredObject

_MIB = 1024**2
# The most that S3 copies in one request.
MAX_COPY_BYTES = 5 * 1024**3
_PART_BYTES = 512 * _MIB
# What goes through this process is in memory, once a thread.
_STREAMED_PART_BYTES = 16 * _MIB
_MAX_STREAMED_PART_BYTES = 64 * _MIB
# All but the last.
_MIN_PART_BYTES = 5 * _MIB
_MAX_PARTS = 10_000
_KEPT_HEADERS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    "Metadata",
)  # fmt: skip
# What S3 doesn't copy along by itself.
NOT_COPIED = ("StorageClass", "WebsiteRedirectLocation")


def copied(
    source: StoredObject,
    client: Any,
    bucket: str,
    key: str,
    *,
    extra: Mapping[str, Any],
    overwrite: bool,
    parts: Executor,
    go_on: Callable[[], None],
) -> None:
    """Copy exactly this version of an object. What changed meanwhile is for the caller to look at.

    An upload in parts is copied in the same parts, where the server tells their size: its ETag depends on
    them, and so the copy's will be the same. Where it doesn't, and there have to be parts, in as many of whole MiB.

    :param client: the destination's. Where it isn't the source's, no server can copy: the content is read and written
    :param extra: what the copy gets besides: its storage class, ACL, KMS key and lock. In the same request, so
        that there is no moment, and no try, in which the copy is without it.
    :param overwrite: whether what appears at the destination meanwhile may be replaced. Not every server
        checks that.
    :param parts: runs the copying of parts
    :param go_on: raises where the task is to end; asked before each part
    """
    streamed = client is not source.client
    name = {"Bucket": bucket, "Key": key}
    part_bytes = _part_bytes(source, streamed)
    if part_bytes is None:
        one = _streamed_whole if streamed else _copied_whole
        one(source, client, name, extra, overwrite)
        return

    def stream(part: dict[str, Any], start: int, end: int) -> str:
        body = _read(source, Range=f"bytes={start}-{end}")
        return str(client.upload_part(**part, Body=body, ContentMD5=_md5(body))["ETag"])

    def copy(part: dict[str, Any], start: int, end: int) -> str:
        answer = client.upload_part_copy(**part, **_from(source), CopySourceRange=f"bytes={start}-{end}")
        return str(answer["CopyPartResult"]["ETag"])

    tags = _tags(source)
    upload_in_parts(
        client,
        name,
        source.size,
        part_bytes,
        send=stream if streamed else copy,
        kept={**_kept(source, tags), **extra},
        overwrite=overwrite,
        parts=parts,
        go_on=go_on,
    )
    # Ceph 16 takes tags with an upload in parts, and forgets them.
    if tags and not client.get_object_tagging(**name).get("TagSet"):
        client.put_object_tagging(**name, Tagging={"TagSet": tags})


def _part_bytes(source: StoredObject, streamed: bool) -> int | None:
    """Return the size of the parts to copy in, `None` where one request copies all."""
    most = _MAX_STREAMED_PART_BYTES if streamed else MAX_COPY_BYTES
    own, alone = (_STREAMED_PART_BYTES, _STREAMED_PART_BYTES) if streamed else (_PART_BYTES, MAX_COPY_BYTES)
    its = _told_part_bytes(source)
    if its is None and (streamed or source.size > alone):
        its = _likely_part_bytes(source)
    if its is not None and its <= most:
        return its
    return None if source.size <= alone else max(own, -(-source.size // _MAX_PARTS))


def _told_part_bytes(source: StoredObject) -> int | None:
    if not _parts(source):
        return None
    part = source.client.head_object(Bucket=source.bucket, Key=source.key, PartNumber=1, **source.version)
    count, part_bytes = part.get("PartsCount"), int(part["ContentLength"])
    # Parts of different sizes, or a server that doesn't tell: the copy is then compared in another way.
    return part_bytes if count and _fit(source, part_bytes, count) else None


def _likely_part_bytes(source: StoredObject) -> int | None:
    """Return the fewest whole MiB that make so many parts, as programs choose them. Ceph 16 doesn't tell."""
    count = _parts(source)
    if not count:
        return None
    likely = max(_MIN_PART_BYTES, -(-source.size // (count * _MIB)) * _MIB)
    return likely if _fit(source, likely, count) else None


def _parts(source: StoredObject) -> int:
    """Return how many parts an object was uploaded in, 0 where in none."""
    count = source.etag.rpartition("-")[2]
    return int(count) if "-" in source.etag and count.isdecimal() and source.size else 0


def _fit(source: StoredObject, part_bytes: int, count: int) -> bool:
    return part_bytes * (count - 1) < source.size <= part_bytes * count


def _copied_whole(
    source: StoredObject, client: Any, name: dict[str, str], extra: Mapping[str, Any], overwrite: bool
) -> None:
    # S3 copies metadata and tags along, but not these.
    kept = {header: source.head[header] for header in NOT_COPIED if header in source.head}
    client.copy_object(
        **name, **_from(source), **{**kept, **extra}, **unless_there(client, "CopyObject", overwrite)
    )


def _streamed_whole(
    source: StoredObject, client: Any, name: dict[str, str], extra: Mapping[str, Any], overwrite: bool
) -> None:
    body = _read(source)
    client.put_object(
        **name,
        Body=body,
        ContentMD5=_md5(body),
        **{**_kept(source, _tags(source)), **extra},
        **unless_there(client, "PutObject", overwrite),
    )


def _read(source: StoredObject, **arguments: str) -> bytes:
    answer = source.client.get_object(
        Bucket=source.bucket, Key=source.key, IfMatch=f'"{source.etag}"', **source.version, **arguments
    )
    # Shorter than was announced, botocore raises.
    return bytes(answer["Body"].read())


def _md5(body: bytes) -> str:
    """Return what the server is to compare with what it gets."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _kept(source: StoredObject, tags: list[dict[str, str]]) -> dict[str, Any]:
    kept = {name: source.head[name] for name in (*_KEPT_HEADERS, *NOT_COPIED) if name in source.head}
    if tags:
        kept["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in tags])
    return kept


def _tags(source: StoredObject) -> list[dict[str, str]]:
    # Some servers leave the whole list out where it is empty.
    answer = source.client.get_object_tagging(Bucket=source.bucket, Key=source.key, **source.version)
    return list(answer.get("TagSet", ()))


def _from(source: StoredObject) -> dict[str, Any]:
    return {
        "CopySource": {"Bucket": source.bucket, "Key": source.key, **source.version},
        "CopySourceIfMatch": f'"{source.etag}"',
    }
