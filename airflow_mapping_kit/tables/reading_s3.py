"""Let DuckDB read from S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.storage.buckets import s3_errors
from airflow_mapping_kit.tables.database import literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from duckdb import DuckDBPyConnection


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
