"""S3 through an Airflow connection: its client, what it lists, and what it refuses, said in one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import ordered, shown
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.exceptions import ClientError

_NO_ACCESS = "check the connection's credentials and endpoint, and that its role may {operation} there"
_DENIED = f"{_NO_ACCESS}; where the bucket wants it, also requester_pays and expected_bucket_owner"
_NOT_INSTALLED = (
    "S3 needs Airflow's Amazon provider where this task runs: pip install 'airflow-mapping-kit[amazon]'"
)
# What S3 answers to the same request every time, and what to do about it; anything else may pass.
_REFUSALS = {
    "NoSuchBucket": "check the bucket's name, and the account and region of the connection",
    "InvalidBucketName": "write the bucket's name alone, without s3:// and without a path",
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _NO_ACCESS,
    "InvalidAccessKeyId": _NO_ACCESS,
    "SignatureDoesNotMatch": _NO_ACCESS,
    "PermanentRedirect": "set the bucket's region as region_name in the connection",
    "AuthorizationHeaderMalformed": "set the bucket's region as region_name in the connection",
    # A HEAD has no body, so its error has no name.
    "400": _NO_ACCESS,
    "401": _NO_ACCESS,
    "403": _DENIED,
}


def s3_hook(aws_conn_id: str | None, **settings: Any) -> S3Hook:
    """Return Airflow's hook for S3.

    :param settings: what else the hook takes
    :raises StorageError: if the Amazon provider isn't installed
    """
    try:
        # Half a second of CPU: only where S3 is used.
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    except ImportError as error:
        raise StorageError(_NOT_INSTALLED) from error
    return S3Hook(aws_conn_id=aws_conn_id, **settings)


def s3_client(aws_conn_id: str | None, *, connections: int = 10) -> Any:
    """Return boto3's client for S3 with the settings of an Airflow connection. It may be shared by threads.

    :param connections: how many requests it sends at a time
    :raises StorageError: if the Amazon provider isn't installed
    """
    hook = s3_hook(aws_conn_id)
    from botocore.config import Config

    if hook.config.max_pool_connections < connections:
        # The hook takes a config instead of the connection's own, so that one goes in.
        config = hook.config.merge(Config(max_pool_connections=connections))
        hook = s3_hook(aws_conn_id, config=config)
    return hook.get_conn()


def listed(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Give the objects under a prefix as S3 lists them, page by page, without zero-byte folder markers."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            if entry["Size"] or not entry["Key"].endswith("/"):
                yield entry


def given_keys(keys: Any) -> list[str]:
    """Return the keys that a task was given: a key alone, as `s3_keys` gives it to map over, is a list of one.

    :param keys: a key, or a list of keys
    :raises StorageError: if one of them is no key, or stands twice
    :raises PartitionError: if it is neither a key nor a list

    Example: `given_keys("landing/a.csv")` gives `["landing/a.csv"]`.
    """
    given = [keys] if isinstance(keys, str) else ordered("keys", keys)
    seen: set[str] = set()
    for key in given:
        if not isinstance(key, str) or not key:
            raise StorageError(
                f"{shown(key)} is not a key: pass a key or a list of keys. s3_keys with a batch limit returns such "
                "lists"
            )
        if key in seen:
            raise StorageError(f"the key {shown(key)} is in keys twice: pass each key once")
        seen.add(key)
    return given


def error_code(error: Any) -> str:
    """Return what S3 calls a `ClientError` of botocore: `NoSuchKey`, or `404` where it gives no name."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def s3_errors(aws_conn_id: str | None, bucket: str, what: str) -> Iterator[None]:
    """Turn botocore's errors into one that a data engineer can act on.

    :param what: what was asked for: `"list s3://lake/landing/"`
    :raises StorageError: where the same request would fail again, with what to do; if nothing for S3 is installed
    :raises AirflowException: where it may pass
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
    except ImportError as error:
        raise StorageError(_NOT_INSTALLED) from error

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        # boto3's uploads wrap what S3 answered.
        cause = error.__context__ if isinstance(error.__context__, ClientError) else error
        # Keys and prefixes are strangers', and so is what a server answers.
        asked, said = one_line(what), one_line(error)
        with_connection = f"with the Airflow connection {aws_conn_id!r}"
        if isinstance(cause, ClientError):
            raise _refusal(cause, f"{asked} {with_connection}") from error
        if isinstance(error, NoCredentialsError | ParamValidationError):
            raise StorageError(
                f"Can't {asked} {with_connection}: {said}. Check that the connection exists and has "
                f"credentials, and that {bucket!r} is a bucket's name."
            ) from error
        raise AirflowException(
            f"Can't {asked} {with_connection}: {said}; check the connection's endpoint, and run the task "
            f"again."
        ) from error


def _refusal(error: ClientError, what: str) -> Exception:
    answer = one_line(error.response.get("Error", {}).get("Message") or "without a message")
    message = f"S3 refused to {what}: {error_code(error)} to {error.operation_name} ({answer})"
    remedy = _REFUSALS.get(error_code(error))
    if remedy is None:
        return AirflowException(f"{message}; it may pass: run the task again.")
    # Without the right to list, a HEAD of what isn't there is refused, too.
    operation = {"HeadObject": "GetObject and ListBucket"}.get(error.operation_name, error.operation_name)
    return StorageError(f"{message}; {remedy.format(operation=operation)}.")
