"""The DuckDB of one task: its own, or that of an Airflow connection, with the settings and extensions it was given."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import MappingKitError, QueryError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import connected, expression, identifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

MEMORY_LIMIT, THREADS = "1GiB", 1
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What is set elsewhere, or would break what the operator promises.
_ELSEWHERE = {
    **dict.fromkeys(("memory_limit", "max_memory"), "give memory_limit= to the operator"),
    **dict.fromkeys(("threads", "worker_threads"), "give threads= to the operator"),
    "timezone": "give timezone= to the operator",
    "temp_directory": "set [mapping_kit] scratch_folder",
    "enable_external_access": "leave it out: without it nothing can be read or written",
    "motherduck_token": "keep it in an Airflow connection, and give duckdb_conn_id= to the operator",
    **dict.fromkeys(
        ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"),
        "keep it in an Airflow connection, and give aws_conn_id= to the operator",
    ),
}


@contextmanager
def opened(
    conn_id: str | None,
    memory_limit: str | None,
    threads: int | str | None,
    scratch: Path,
    timezone: str,
    settings: Mapping[str, Any] | None,
    extensions: Sequence[str] | None,
) -> Iterator[DuckDBPyConnection]:
    """Give a DuckDB that spills into `scratch`: one in memory, or the database of an Airflow connection, read-only.

    :raises QueryError: naming the argument that can't be
    :raises MappingKitError: if DuckDB, or the provider of the connection, isn't installed or refuses
    :raises AirflowException: if it may be another time: somebody writes to the database, or there is no network
    """
    hook = _hook(conn_id) if conn_id else None
    limit = memory_limit or (hook.memory_limit if hook is not None else None) or MEMORY_LIMIT
    number = thread_count(threads or (hook.threads if hook is not None else None) or THREADS)
    connect = partial(_by_hook, conn_id, hook) if conn_id else None
    with connected(limit, number, scratch, timezone, connect) as connection:
        _set_up(connection, settings or {}, extensions or ())
        yield connection


def thread_count(value: Any) -> int:
    """Return a number of threads, which a template gives as text.

    :raises QueryError: if it is none
    """
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise QueryError(f"threads={value!r} is no number of threads: write 1 or more")
    return number


def check_settings(settings: Mapping[str, Any] | None) -> None:
    """Check that settings have names that DuckDB can have, and are set nowhere else.

    :raises QueryError: naming the one that can't be
    """
    for name in settings or {}:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise QueryError(
                f"settings: {shown(name)} is no name of a DuckDB setting: write one such as 'http_retries'"
            )
        if name.lower() in _ELSEWHERE:
            raise QueryError(f"settings: {name!r} can't be set here: {_ELSEWHERE[name.lower()]}")


def check_extensions(extensions: Sequence[str] | None) -> None:
    """Check that extensions are a list of names.

    :raises QueryError: naming the one that can't be
    """
    if isinstance(extensions, str):
        raise QueryError(f"extensions={extensions!r} is text: write the list [{extensions!r}]")
    for name in extensions or ():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise QueryError(
                f"extensions: {shown(name)} is no name of a DuckDB extension: write one such as 'httpfs'"
            )


def _set_up(connection: DuckDBPyConnection, settings: Mapping[str, Any], extensions: Sequence[str]) -> None:
    check_settings(settings)
    check_extensions(extensions)
    # Those that say where extensions are have to be set before they are loaded, and those that one brings after.
    refused = {
        name: error for name, value in settings.items() if (error := _refused(connection, name, value))
    }
    for name in extensions:
        _load(connection, name)
    for name in refused:
        error = _refused(connection, name, settings[name])
        if error is not None:
            raise QueryError(
                f"settings: DuckDB refuses {name}={shown(settings[name])}: "
                f"{str(error).partition('LINE 1:')[0].strip()}"
            ) from error


def _refused(connection: DuckDBPyConnection, name: str, value: Any) -> Exception | None:
    import duckdb

    try:
        connection.execute(f"SET {identifier(name)} = {expression(value)}")
    except duckdb.Error as error:
        return error
    return None


def _load(connection: DuckDBPyConnection, name: str) -> None:
    import duckdb

    quoted = identifier(name)
    try:
        try:
            connection.execute(f"LOAD {quoted}")
        except duckdb.Error:
            connection.execute(f"INSTALL {quoted}")
            connection.execute(f"LOAD {quoted}")
    except duckdb.Error as error:
        raise AirflowException(
            f"extensions: DuckDB's {name!r} isn't installed where this task runs and can't be downloaded: install it "
            f"in the worker's image, python -c \"import duckdb; duckdb.sql('INSTALL {name}')\", or set where it is, "
            f"settings={{'extension_directory': ...}}: {error}"
        ) from error


def _hook(conn_id: str, **arguments: Any) -> Any:
    """Return the hook of a connection: DuckDB's, or one of another provider that is made of it."""
    try:
        from airflow.providers.duckdb.hooks.duckdb import DuckDBHook
    except ImportError as error:
        raise MappingKitError(
            f"duckdb_conn_id={conn_id!r} needs Airflow's DuckDB provider where this task runs: pip install "
            f"'airflow-mapping-kit[duckdb-hook]' (Python 3.11 and Airflow 2.11 or newer), or leave it out"
        ) from error
    hook = DuckDBHook(duckdb_conn_id=conn_id, **arguments)
    # `None` only of the provider's default, which need not exist: then it is a database in memory.
    connection = hook.airflow_connection
    if connection is None or connection.conn_type == DuckDBHook.conn_type:
        return hook
    made = connection.get_hook(hook_params=arguments)
    if not isinstance(made, DuckDBHook):
        raise MappingKitError(
            f"duckdb_conn_id={conn_id!r} is a connection of type {connection.conn_type!r}: name one of type 'duckdb'"
        )
    return made


def _by_hook(conn_id: str, hook: Any, config: Mapping[str, Any]) -> DuckDBPyConnection:
    import duckdb

    database = hook.get_database()
    # A file is locked by who may write to it, and instances run beside each other.
    read_only = database != ":memory:" and not database.startswith("md:")
    try:
        connection: DuckDBPyConnection = _hook(conn_id, read_only=read_only, **config).get_conn()
    except duckdb.IOException as error:
        raise AirflowException(
            f"duckdb_conn_id={conn_id!r}: its database can't be opened for reading: check that the file is there, and "
            f"that nobody has it open for writing: {error}"
        ) from error
    except MappingKitError:
        raise
    except ValueError as error:
        raise MappingKitError(f"duckdb_conn_id={conn_id!r}: {error}") from error
    return connection
