"""A Delta table, opened with an Airflow connection, and what is wrong if it can't be."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.storage.buckets import s3_errors, s3_hook
from airflow_mapping_kit.storage.uris import s3_place
from airflow_mapping_kit.tables.described import near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deltalake import DeltaTable

# Credentials would be kept as an XCom, where everybody reads them.
_SECRET = re.compile(r"secret|token|password|key|sas|credential", re.IGNORECASE)
# How delta-rs draws the tree of an error's causes.
_DRAWN = re.compile(r"\x1b\[\d*m|↳")


def opened(
    name: str, aws_conn_id: str | None, storage_options: Mapping[str, str] | None = None
) -> DeltaTable:
    """Open a Delta table as it is now.

    :param name: a directory or `s3://bucket/prefix`
    :param aws_conn_id: the Airflow connection for `s3://`; without one, boto's own credentials
    :param storage_options: what else deltalake is to know of the storage, no credentials
    :raises TargetError: if there is no such table, or options can't be
    :raises StorageError: if the credentials are refused
    :raises AirflowException: if it may pass
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    place = s3_place(name)
    options = dict(storage_options or {})
    for option in options:
        if _SECRET.search(option):
            raise TargetError(
                f"storage_options: {option!r} would be kept as an XCom for all to read: put credentials into the "
                f"Airflow connection, aws_conn_id"
            )
    if place is not None:
        options = {**_s3_options(aws_conn_id, place[0]), **options}
    elif not Path(name, "_delta_log").is_dir():
        raise TargetError(
            f"{name} is no Delta table{_near(name)}: it is no directory with a _delta_log in it"
        )
    try:
        return DeltaTable(name if place else str(Path(name).absolute()), storage_options=options)
    except TableNotFoundError as error:
        raise TargetError(f"{name} is no Delta table: {_said(error)}") from error
    except (DeltaError, OSError, ValueError) as error:
        raise AirflowException(f"The Delta table {name} can't be opened: {_said(error)}") from error


def location(table: DeltaTable) -> str:
    """Return the folder of a table as the kit writes it: `/lake/a b` for `file:///lake/a%20b/`."""
    uri = table.table_uri.rstrip("/")
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri


@contextmanager
def passing_errors(name: str, what: str) -> Iterator[None]:
    """Turn what storage says while a table is read into an error that lets Airflow try again.

    :param what: what is done: `"read"`
    :raises AirflowException: naming the table
    """
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, OSError) as error:
        raise AirflowException(f"The Delta table {name}: can't {what}: {_said(error)}") from error


def _s3_options(aws_conn_id: str | None, bucket: str) -> dict[str, str]:
    # A template gives text, so no connection may come as "".
    hook = s3_hook(aws_conn_id or None)
    # deltalake tries what is refused ten times, and doesn't say what S3 said: so it is asked first.
    with s3_errors(hook.aws_conn_id, bucket, f"look into s3://{bucket}"):
        client = hook.get_conn()
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        credentials = hook.get_session().get_credentials()
    endpoint = str(client.meta.endpoint_url)
    options = {"AWS_REGION": client.meta.region_name or "us-east-1"}
    if not urlsplit(endpoint).netloc.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        options["AWS_ENDPOINT_URL"] = endpoint
    if endpoint.startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        options |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
        if frozen.token:
            options["AWS_SESSION_TOKEN"] = frozen.token
    return options


def _near(name: str) -> str:
    path = Path(name).absolute()
    try:
        others = [other.name for other in path.parent.iterdir() if (other / "_delta_log").is_dir()]
    except OSError:
        return ""
    return near(path.name, others)


def _said(error: Exception) -> str:
    return one_line(" ".join(_DRAWN.sub(" ", str(error)).split()))
