"""What S3 knows of an object's content, and whether two objects have the same."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from airflow_mapping_kit.storage.buckets import error_code

MD5 = re.compile("[0-9a-f]{32}")
_CHUNK_BYTES = 1024 * 1024
_MISSING = {"404", "NoSuchKey", "NotFound"}
_CHECKSUMS = ("ChecksumSHA256", "ChecksumSHA1", "ChecksumCRC64NVME", "ChecksumCRC32C", "ChecksumCRC32")


@dataclass(frozen=True)
class StoredObject:
    """One version of an object, as S3 described it at one moment.

    :param etag: without quotes: some servers give it with them, some without, some both
    :param version_id: None where the bucket keeps no versions, or had none when this was written
    :param head: the whole answer
    :param client: boto3's client of the store that it is in
    """

    bucket: str
    key: str
    size: int
    etag: str
    version_id: str | None
    head: dict[str, Any]
    client: Any = field(repr=False, compare=False)

    @property
    def version(self) -> dict[str, str]:
        """The argument that names exactly this version, where there are versions."""
        return {"VersionId": self.version_id} if self.version_id else {}

    @property
    def etag_is_md5(self) -> bool:
        """Whether the ETag is the content's MD5: it isn't after an upload in parts or under a KMS key."""
        kms = str(self.head.get("ServerSideEncryption", "")).startswith("aws:")
        return bool(MD5.fullmatch(self.etag)) and not kms and "SSECustomerAlgorithm" not in self.head


def stored(client: Any, bucket: str, key: str) -> StoredObject | None:
    """Ask for an object as it is now; `None` if there is none."""
    from botocore.exceptions import ClientError

    try:
        head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error_code(error) in _MISSING:
            return None
        raise
    # "null" is the one version that a bucket with suspended versioning overwrites: it names no content.
    version_id = head.get("VersionId")
    return StoredObject(
        bucket,
        key,
        head["ContentLength"],
        head["ETag"].strip('"'),
        None if version_id in (None, "", "null") else version_id,
        head,
        client,
    )


def same_content(one: StoredObject, other: StoredObject) -> bool:
    """Tell whether two objects hold the same bytes, in one store or in two.

    By size and ETag, or a checksum of the whole object, where these can tell. Where they can't (an upload in
    parts that was copied whole, objects under KMS keys without checksums), by reading both.
    """
    if one.size != other.size:
        return False
    if one.etag == other.etag:
        return True
    for name in _CHECKSUMS:
        if _whole(one, name) and _whole(other, name):
            return bool(one.head[name] == other.head[name])
    if one.etag_is_md5 and other.etag_is_md5:
        return False
    return _sha256(one) == _sha256(other)


def _whole(stored_object: StoredObject, checksum: str) -> bool:
    # A checksum of parts has their number at its end; the type is what newer servers say.
    value = stored_object.head.get(checksum)
    return bool(value) and "-" not in str(value) and stored_object.head.get("ChecksumType") != "COMPOSITE"


def _sha256(stored_object: StoredObject) -> bytes:
    answer = stored_object.client.get_object(
        Bucket=stored_object.bucket,
        Key=stored_object.key,
        # It has to be the same object from the first byte to the last.
        IfMatch=f'"{stored_object.etag}"',
        **stored_object.version,
    )
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
