"""An upload in parts: all of them, or none that stays."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.storage.buckets import error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor


def upload_in_parts(
    client: Any,
    name: Mapping[str, str],
    size: int,
    part_bytes: int,
    *,
    send: Callable[[dict[str, Any], int, int], str],
    kept: Mapping[str, Any],
    overwrite: bool,
    parts: Executor,
    go_on: Callable[[], None],
) -> None:
    """Make an object of parts.

    :param name: `{"Bucket": ..., "Key": ...}` of the object
    :param send: sends the bytes from one place to another, both counted, as the part that its first argument names;
        returns the part's ETag
    :param kept: what else the object has, as arguments of `create_multipart_upload`
    :param overwrite: whether what has appeared there meanwhile may be replaced
    :param parts: runs `send`
    :param go_on: raises where the task is to end; asked before each part
    """
    upload = {**name, "UploadId": client.create_multipart_upload(**name, **kept)["UploadId"]}

    def sent(start: int) -> dict[str, Any]:
        go_on()
        number = start // part_bytes + 1
        end = min(start + part_bytes, size) - 1
        return {"PartNumber": number, "ETag": send({**upload, "PartNumber": number}, start, end)}

    futures = [parts.submit(sent, start) for start in range(0, size, part_bytes)]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        go_on()
        client.complete_multipart_upload(
            **upload,
            MultipartUpload={"Parts": [future.result() for future in futures]},
            **unless_there(client, "CompleteMultipartUpload", overwrite),
        )
    except BaseException:
        for future in futures:
            future.cancel()
        # A part that arrives after the upload was aborted would stay for ever.
        wait(futures)
        _abort(client, upload)
        raise


def unless_there(client: Any, operation: str, overwrite: bool) -> dict[str, str]:
    """Return the argument that keeps an operation from replacing an object, where this botocore can send it."""
    return {} if overwrite or not knows(client, operation, "IfNoneMatch") else {"IfNoneMatch": "*"}


def knows(client: Any, operation: str, argument: str) -> bool:
    """Tell whether this version of botocore can send an argument."""
    return argument in client.meta.service_model.operation_model(operation).input_shape.members


def _abort(client: Any, upload: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        client.abort_multipart_upload(**upload)
    except ClientError as error:
        # It was completed, and only the answer was lost.
        if error_code(error) != "NoSuchUpload":
            raise
