"""Objects in S3, through boto3: no file system has to be found and started for them."""

from __future__ import annotations

import functools
import io
import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage.buckets import error_code, s3_client, s3_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger(__name__)

# S3 takes at most 10,000 parts of an object, and none under 5 MiB but the last.
_PART = 8 * 2**20
_PARTS_OF_A_SIZE = 2_000
# A connection may be changed meanwhile; a client costs 50 ms.
_KEPT_SECONDS = 300
_NOT_FOUND = {"NoSuchKey", "404"}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_AFTER_THE_END = {"InvalidRange", "416"}


class _Object(NamedTuple):
    conn_id: str | None
    bucket: str
    key: str

    @property
    def client(self) -> Any:
        return _client(self.conn_id, os.getpid(), int(time.monotonic() // _KEPT_SECONDS))

    @property
    def place(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def errors(self, doing: str) -> Any:
        return s3_errors(self.conn_id, self.bucket, f"{doing} s3://{self.bucket}/{self.key}")


@contextmanager
def whole(uri: str) -> Iterator[BinaryIO]:
    """See `files.whole`."""
    upload = _Upload(_object(uri))
    file = io.BufferedWriter(cast("io.RawIOBase", upload), buffer_size=256 * 1024)
    try:
        yield cast("BinaryIO", file)
        file.flush()
        upload.commit()
    except BaseException:
        upload.discard()
        raise
    finally:
        # Nothing is left in it, or nobody wants what is.
        file.detach()


def created(uri: str, data: bytes) -> bool:
    """See `files.created`."""
    one = _object(uri)
    from botocore.exceptions import ClientError, ParamValidationError

    with one.errors("write"):
        try:
            one.client.put_object(**one.place, Body=data, IfNoneMatch="*")
        except ParamValidationError as error:
            raise StorageError(
                "This boto3 can't write an object only if it doesn't exist: install boto3 1.35 or newer."
            ) from error
        except ClientError as error:
            if error_code(error) in _TAKEN:
                return False
            raise
    return True


def read_range(uri: str, start: int, end: int) -> bytes:
    """See `files.read_range`."""
    one = _object(uri)
    from botocore.exceptions import ClientError

    with one.errors("read"):
        try:
            answer = one.client.get_object(**one.place, Range=f"bytes={start}-{end - 1}")
        except ClientError as error:
            if error_code(error) in _AFTER_THE_END:
                return b""
            if error_code(error) in _NOT_FOUND:
                raise FileNotFoundError(uri) from None
            raise
        body: bytes = answer["Body"].read()
        return body


def listed(uri: str) -> list[str]:
    """See `files.listed`."""
    one = _object(uri)
    prefix = f"{one.key}/" if one.key else ""
    found = []
    with one.errors("list"):
        pages = one.client.get_paginator("list_objects_v2").paginate(
            Bucket=one.bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            found += [f"{uri}/{entry['Key'][len(prefix) :]}" for entry in page.get("Contents", ())]
    # What consoles make as a folder.
    return [name for name in found if not name.endswith("/")]


def sizes(uri: str) -> dict[str, int]:
    """See `files.sizes`."""
    one = _object(uri)
    prefix = f"{one.key}/" if one.key else ""
    found = {}
    with one.errors("list"):
        for page in one.client.get_paginator("list_objects_v2").paginate(Bucket=one.bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                found[f"{uri}/{entry['Key'][len(prefix) :]}"] = entry["Size"]
    return found


def delete(uris: Sequence[str]) -> None:
    """See `files.delete`."""
    one = _object(uris[0])
    keys = [{"Key": _object(uri).key} for uri in uris]
    with one.errors("delete"):
        answer = one.client.delete_objects(Bucket=one.bucket, Delete={"Objects": keys, "Quiet": True})
    for refused in answer.get("Errors", ()):
        raise StorageError(
            f"S3 refused to delete s3://{one.bucket}/{refused.get('Key')}: {refused.get('Code')}; check that the role "
            f"of the connection {one.conn_id!r} may DeleteObject there."
        )


def forget_unfinished(uri: str, named: Callable[[str], bool]) -> None:
    """See `files.forget_unfinished`."""
    one = _object(uri)
    from botocore.exceptions import ClientError

    try:
        pages = one.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=one.bucket, Prefix=f"{one.key}/"
        )
        for upload in (upload for page in pages for upload in page.get("Uploads", ())):
            folder, _, name = upload["Key"].rpartition("/")
            if folder == one.key and named(name):
                one.client.abort_multipart_upload(
                    Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    except ClientError as error:  # a rule of the bucket does it, and the right to do so is seldom given
        log.info(
            "Unfinished uploads below %s stay until a lifecycle rule of the bucket removes them: %s",
            uri,
            error,
        )


class _Upload(io.RawIOBase):
    """Sends the data in parts. They become one object together, or nothing."""

    def __init__(self, one: _Object) -> None:
        super().__init__()
        self._one = one
        self._held = bytearray()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        # Parts grow, so that an object may: 16 GB of 8 MiB each, then as many of twice that.
        if len(self._held) >= _PART << len(self._parts) // _PARTS_OF_A_SIZE:
            self._send()
        return len(data)

    def commit(self) -> None:
        """Make the object visible."""
        if self._id is None:
            with self._one.errors("write"):
                self._one.client.put_object(**self._one.place, Body=bytes(self._held))
            return
        if self._held:
            self._send()
        with self._one.errors("write"):
            self._one.client.complete_multipart_upload(
                **self._one.place, UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )

    def discard(self) -> None:
        """Discard the parts."""
        self._held.clear()
        if self._id is None:
            return
        try:
            self._one.client.abort_multipart_upload(**self._one.place, UploadId=self._id)
        except Exception as error:  # noqa: BLE001 -- why nothing is made of it says more
            log.warning("An unfinished upload to %s could not be removed: %s", self._one.place, error)

    def _send(self) -> None:
        with self._one.errors("write"):
            if self._id is None:
                self._id = self._one.client.create_multipart_upload(**self._one.place)["UploadId"]
            number = len(self._parts) + 1
            answer = self._one.client.upload_part(
                **self._one.place, UploadId=self._id, PartNumber=number, Body=bytes(self._held)
            )
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})
        self._held.clear()


def _object(uri: str) -> _Object:
    first, _, key = uri.removeprefix("s3://").partition("/")
    conn_id, _, bucket = first.rpartition("@")
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket: write s3://connection@bucket/prefix")
    return _Object(conn_id or None, bucket, key)


@functools.lru_cache(maxsize=4)
def _client(conn_id: str | None, _process: int, _time: int) -> Any:
    return s3_client(conn_id)
