"""What a URI in object storage names: an Airflow connection, a bucket, and a key or a prefix in it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow_mapping_kit.exceptions import TargetError

GOOGLE = ("gs", "gcs")
AZURE = ("az", "abfs", "abfss")
_WHERE = "a directory, s3://bucket/prefix, gs://connection@bucket/prefix or az://connection@container/prefix"

_ODD = re.compile(r"^[\s~]|\s$|[\x00-\x1f]|^\w+:/(?!/)")


class Uri(NamedTuple):
    """The parts of a URI: `Uri("gs", "google", "lake", "flights/a.parquet")`.

    :param connection: before the `@`, as in all of Airflow's object storage; `None` without one
    :param bucket: Azure calls it a container
    """

    scheme: str
    connection: str | None
    bucket: str
    key: str

    @property
    def path(self) -> str:
        """The name in a file system: `lake/flights/a.parquet`."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def uri(self) -> str:
        """As Airflow writes it: `gs://google@lake/flights/a.parquet`."""
        return f"{self.scheme}://{f'{self.connection}@' if self.connection else ''}{self.bucket}/{self.key}"

    def __str__(self) -> str:
        """Return it as everybody writes it, without the connection: `gs://lake/flights/a.parquet`."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


def parsed(uri: str) -> Uri:
    """Return the parts of a URI that has a scheme."""
    scheme, _, rest = uri.partition("://")
    place, _, key = rest.partition("/")
    connection, _, bucket = place.rpartition("@")
    return Uri(scheme, connection or None, bucket, key)


def target_of(target: Any) -> Uri | None:
    """Return the bucket and the prefix that a target names; `None` for a directory.

    `gs://google@lake/flights` gives `Uri("gs", "google", "lake", "flights/")`, `s3://lake` gives
    `Uri("s3", None, "lake", "")`.

    :raises TargetError: if partitions can't be there
    """
    # With one slash, a ~, or a line's end from a template, it would be a directory beside whatever the worker runs in.
    if not isinstance(target, str) or not target.strip() or _ODD.search(target):
        raise TargetError(f"target={target!r} is no place: write {_WHERE}")
    if "://" not in target:
        return None
    uri = parsed(target)
    if uri.scheme not in ("s3", *GOOGLE, *AZURE):
        raise TargetError(f"target={target!r} is no place: write {_WHERE}")
    if not uri.bucket:
        is_azure = uri.scheme in AZURE
        raise TargetError(
            f"the target {target!r} names no {'container' if is_azure else 'bucket'}: write "
            f"{uri.scheme}://{'container' if is_azure else 'bucket'}/prefix"
        )
    if uri.scheme in AZURE and "." in uri.bucket:
        raise TargetError(
            f"the target {target!r} names an account, but the account belongs into the Airflow connection: write "
            f"{uri.scheme}://connection@container/prefix"
        )
    # To the file systems they begin a version.
    if uri.scheme != "s3" and (odd := next((one for one in "?#\\" if one in uri.key), None)):
        raise TargetError(f"the target {target!r} has a {odd} in its prefix: name a prefix without one")
    return uri._replace(key=f"{uri.key.rstrip('/')}/" if uri.key.strip("/") else "")


def s3_place(target: Any) -> tuple[str, str] | None:
    """Return the bucket and the prefix of a place that must be in S3; `None` for a directory.

    `s3://lake/flights` gives `("lake", "flights/")`.

    :raises TargetError: if it is in another store, or names a connection
    """
    uri = target_of(target)
    if uri is None:
        return None
    if uri.scheme != "s3" or uri.connection:
        raise TargetError(
            f"{target!r} can't be used here: write a directory or s3://bucket/prefix, and the connection as "
            "aws_conn_id"
        )
    return uri.bucket, uri.key
