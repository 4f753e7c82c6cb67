"""Copy an object inside S3, in one request or in parts, with all that S3 copies or takes along."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_mapping_kit.storage.buckets import error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from airflow_mapping_kit.operators.s3.contents import StoredObject

# The most that S3 copies in one request.
MAX_COPY_BYTES = 5 * 1024**3
_PART_BYTES = 512 * 1024**2
_MAX_PARTS = 10_000
_KEPT_HEADERS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    "Metadata",
)  # fmt: skip
_NOT_COPIED = ("StorageClass", "WebsiteRedirectLocation")


def copied(
    client: Any,
    source: StoredObject,
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
    them, and so the copy's will be the same.

    :param extra: what the copy gets besides: its storage class, ACL, KMS key and lock. In the same request, so
        that there is no moment, and no try, in which the copy is without it.
    :param overwrite: whether what appears at the destination meanwhile may be replaced. Not every server
        checks that.
    :param parts: runs the copying of parts
    :param go_on: raises where the task is to end; asked before each part
    """
    part_bytes = _part_bytes(client, source)
    if part_bytes is None and source.size > MAX_COPY_BYTES:
        part_bytes = max(_PART_BYTES, -(-source.size // _MAX_PARTS))
    if part_bytes is None:
        # S3 copies metadata and tags along, but not these.
        kept = {name: source.head[name] for name in _NOT_COPIED if name in source.head}
        client.copy_object(
            Bucket=bucket,
            Key=key,
            **_from(source),
            **{**kept, **extra},
            **_unless(client, "CopyObject", overwrite),
        )
    else:
        _copy_in_parts(
            client,
            source,
            bucket,
            key,
            part_bytes,
            extra=extra,
            overwrite=overwrite,
            parts=parts,
            go_on=go_on,
        )


def knows(client: Any, operation: str, argument: str) -> bool:
    """Tell whether this version of botocore can send an argument."""
    return argument in client.meta.service_model.operation_model(operation).input_shape.members


def _part_bytes(client: Any, source: StoredObject) -> int | None:
    if "-" not in source.etag or not source.size:
        return None
    part = client.head_object(Bucket=source.bucket, Key=source.key, PartNumber=1, **source.version)
    count, part_bytes = part.get("PartsCount"), int(part["ContentLength"])
    # Parts of different sizes, or a server that doesn't tell: the copy is then compared in another way.
    return part_bytes if count and part_bytes * (count - 1) < source.size <= part_bytes * count else None


def _from(source: StoredObject) -> dict[str, Any]:
    return {
        "CopySource": {"Bucket": source.bucket, "Key": source.key, **source.version},
        "CopySourceIfMatch": f'"{source.etag}"',
    }


def _copy_in_parts(
    client: Any,
    source: StoredObject,
    bucket: str,
    key: str,
    part_bytes: int,
    *,
    extra: Mapping[str, Any],
    overwrite: bool,
    parts: Executor,
    go_on: Callable[[], None],
) -> None:
    kept = {name: source.head[name] for name in (*_KEPT_HEADERS, *_NOT_COPIED) if name in source.head}
    kept |= extra
    # Some servers leave the whole list out where it is empty.
    tags = client.get_object_tagging(Bucket=source.bucket, Key=source.key, **source.version).get("TagSet")
    if tags:
        kept["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in tags])
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload, **kept)["UploadId"]

    def copy_part(start: int) -> dict[str, Any]:
        go_on()
        number = start // part_bytes + 1
        end = min(start + part_bytes, source.size) - 1
        answer = client.upload_part_copy(
            **upload, **_from(source), PartNumber=number, CopySourceRange=f"bytes={start}-{end}"
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    futures = [parts.submit(copy_part, start) for start in range(0, source.size, part_bytes)]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        go_on()
        client.complete_multipart_upload(
            **upload,
            MultipartUpload={"Parts": [future.result() for future in futures]},
            **_unless(client, "CompleteMultipartUpload", overwrite),
        )
    except BaseException:
        for future in futures:
            future.cancel()
        # A part that arrives after the upload was aborted would stay for ever.
        wait(futures)
        _abort(client, upload)
        raise
    # Ceph 16 takes tags with an upload in parts, and forgets them.
    if tags and not client.get_object_tagging(Bucket=bucket, Key=key).get("TagSet"):
        client.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})


def _unless(client: Any, operation: str, overwrite: bool) -> dict[str, str]:
    return {} if overwrite or not knows(client, operation, "IfNoneMatch") else {"IfNoneMatch": "*"}


def _abort(client: Any, upload: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        client.abort_multipart_upload(**upload)
    except ClientError as error:
        # It was completed, and only the answer was lost.
        if error_code(error) != "NoSuchUpload":
            raise
