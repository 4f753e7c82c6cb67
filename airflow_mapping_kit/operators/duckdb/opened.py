"""The DuckDB of one task: its own, or that of an Airflow connection, with the settings and extensions it was given."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import MappingKitError, QueryError
from airflow_mapping_kit.operators.duckdb.options import (
    check_extensions,
    check_memory_limit,
    check_settings,
    thread_count,
)
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.database import connected, expression, identifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

MEMORY_LIMIT, THREADS = "1GiB", 1


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
    if memory_limit:
        check_memory_limit(memory_limit)
    limit = memory_limit or (hook.memory_limit if hook is not None else None) or MEMORY_LIMIT
    number = thread_count(threads or (hook.threads if hook is not None else None) or THREADS)
    connect = partial(_by_hook, conn_id, hook) if conn_id else None
    with connected(limit, number, scratch, timezone, connect) as connection:
        _set_up(connection, settings or {}, extensions or ())
        yield connection


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
