"""Publish partitions to S3, one object each, and let DuckDB read from there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import QueryError, TargetError
from airflow_mapping_kit.operators.duckdb.claims import claimed_file
from airflow_mapping_kit.operators.duckdb.local import Staged
from airflow_mapping_kit.storage.buckets import s3_errors
from airflow_mapping_kit.storage.lake import FILE_NAME
from airflow_mapping_kit.tables.database import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from duckdb import DuckDBPyConnection

_MAX_KEY_BYTES = 1024


class S3Target:
    """A prefix in a bucket.

    :param bucket: its name
    :param prefix: what the keys of the partitions begin with
    :param hook: Airflow's hook with the connection's credentials
    :param scratch: where a file waits for its upload
    """

    def __init__(self, bucket: str, prefix: str, hook: S3Hook, scratch: Path) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._hook = hook
        self._scratch = scratch

    def check(self, key: str, directory: str) -> None:
        """Check that an object can have this name.

        :raises TargetError: naming its length, if it is too long
        """
        name = self._name(directory)
        size = len(name.encode())
        if size > _MAX_KEY_BYTES:
            raise TargetError(
                f"partition {key}: its object's key would take {size} bytes, and S3 takes {_MAX_KEY_BYTES}: "
                f"shorten the values or the target's prefix"
            )

    @contextmanager
    def staged(self, key: str, directory: str) -> Iterator[Staged]:
        """Give a local file, so that publishing is one upload, which S3 shows only when it is complete.

        What other tools wrote under that prefix (`*.parquet` directly under it, listed before the query
        runs) is deleted right after; a reader in between sees both. Longer prefixes are other partitions.

        :raises StorageError: if the bucket can't be listed
        """
        name = self._name(directory)
        with self._errors(key):
            stale = self._stale(name)
        with claimed_file(self._scratch) as (path, _):

            def publish() -> str:
                with self._errors(key):
                    self._hook.load_file(path, key=name, bucket_name=self._bucket, replace=True)
                    if stale:
                        self._hook.delete_objects(self._bucket, stale)
                return f"s3://{self._bucket}/{name}"

            yield Staged(path, publish)

    def _errors(self, key: str) -> AbstractContextManager[None]:
        what = f"publish the partition {key} to s3://{self._bucket}/{self._prefix}"
        return s3_errors(self._hook.aws_conn_id, self._bucket, what)

    def _name(self, directory: str) -> str:
        return f"{self._prefix}{directory}/{FILE_NAME}"

    def _stale(self, name: str) -> list[str]:
        folder = name.removesuffix(FILE_NAME)
        pages = self._hook.get_conn().get_paginator("list_objects_v2")
        names = [
            entry["Key"]
            for page in pages.paginate(Bucket=self._bucket, Prefix=folder, Delimiter="/")
            for entry in page.get("Contents", ())
        ]
        return [other for other in names if other.endswith(".parquet") and other != name]


def let_duckdb_read_s3(connection: DuckDBPyConnection, hook: S3Hook) -> Callable[[], None]:
    """Let queries read `s3://` with the credentials, the endpoint and the region of an Airflow connection.

    :return: what renews the credentials, for those of a role last an hour or so. It asks for new ones only
        when the old ones are about to end.
    :raises AirflowException: if DuckDB's extension httpfs can't be loaded, or there are no new credentials
    :raises QueryError: if DuckDB refuses the connection's settings
    """
    import duckdb

    try:
        # Finds an installed extension, and downloads it only where there is none.
        connection.execute("INSTALL httpfs")
        connection.execute("LOAD httpfs")
    except duckdb.Error as error:
        raise AirflowException(
            f"the query reads s3://, and DuckDB's extension httpfs can't be loaded: install it in the "
            f"worker's image, python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\": {error}"
        ) from error
    where, credentials = _where(hook), hook.get_session().get_credentials()
    known: dict[str, str] = {}

    def renew() -> None:
        nonlocal known
        with s3_errors(hook.aws_conn_id, "", "get credentials to read s3://"):
            options = {**where, **_secret(credentials)}
        if options == known:
            return
        listed = ", ".join(f"{name} {literal(value)}" for name, value in options.items())
        try:
            connection.execute(f"CREATE OR REPLACE SECRET mapping_kit (TYPE s3, {listed})")
        except duckdb.Error:
            # DuckDB's message quotes the statement, and with it the secret key.
            raise QueryError(
                "DuckDB refuses the S3 settings of the Airflow connection (aws_conn_id): check it"
            ) from None
        known = options

    renew()
    return renew


def _where(hook: S3Hook) -> dict[str, str]:
    client = hook.get_conn()
    endpoint = urlsplit(client.meta.endpoint_url)
    style = (client.meta.config.s3 or {}).get("addressing_style")
    on_aws = (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return {
        "REGION": client.meta.region_name or "us-east-1",
        "ENDPOINT": endpoint.netloc,
        "USE_SSL": "true" if endpoint.scheme == "https" else "false",
        "URL_STYLE": "path" if style == "path" or (not on_aws and style != "virtual") else "vhost",
    }


def _secret(credentials: Any) -> dict[str, str]:
    if credentials is None:
        return {}
    # Those that end are renewed by botocore, some minutes before they do.
    frozen = credentials.get_frozen_credentials()
    token = {"SESSION_TOKEN": frozen.token} if frozen.token else {}
    return {"KEY_ID": frozen.access_key, "SECRET": frozen.secret_key, **token}
