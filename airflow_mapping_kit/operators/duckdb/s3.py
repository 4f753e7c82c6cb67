"""Publish partitions to S3, one object each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.lineage.console import s3_console
from airflow_mapping_kit.operators.duckdb.claims import claimed_file
from airflow_mapping_kit.operators.duckdb.local import Staged
from airflow_mapping_kit.storage.buckets import s3_errors
from airflow_mapping_kit.storage.lake import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

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

    def console(self, below: str) -> str | None:
        """Return where AWS shows what is below the target; `None` of a server that isn't AWS's."""
        return s3_console(self._hook.get_conn(), self._bucket, f"{self._prefix}{below}")

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
