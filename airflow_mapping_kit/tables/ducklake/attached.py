"""A DuckLake that a DuckDB of this task is attached to, by an Airflow connection to the database of its catalog."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, BaseHook
from airflow_mapping_kit.exceptions import MappingKitError, TargetError
from airflow_mapping_kit.storage.buckets import s3_hook
from airflow_mapping_kit.tables.database import connected, identifier, literal
from airflow_mapping_kit.tables.reading_s3 import let_duckdb_read_s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

# What the lake and the database of its catalog are called in this DuckDB.
LAKE = "lake"
_CATALOG = "lake_catalog"
_SECRET = "lake_secret"  # noqa: S105 -- the name of one
# 1.4.4 and 1.5.1 were seen to fail where files are added or others commit in between; what is after them was not tried.
_OLDEST = (1, 5, 5)
# Of an Airflow connection's extra what libpq takes, and no more of it.
_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout")
# What fails again however often it is tried.
_REFUSED = (
    "authentication failed",
    "does not exist",
    "version mismatch",
    "no password supplied",
    "permission denied",
)


class Lake:
    """An attached DuckLake.

    :param connection: the DuckDB
    :param schema: of the catalog's tables, if it isn't the database's own
    """

    def __init__(self, connection: DuckDBPyConnection, schema: str | None) -> None:
        self._connection, self._schema = connection, schema

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        return self._connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """Run one statement and return its one value."""
        ((value,),) = self.rows(sql)
        return value

    def catalog(self, table: str) -> str:
        """Return the name of a table of the catalog, as DuckLake's specification has it."""
        parts = [_CATALOG, *([self._schema] if self._schema else []), f"ducklake_{table}"]
        return ".".join(map(identifier, parts))

    @property
    def snapshot(self) -> int:
        """The newest snapshot, or that which the transaction began with."""
        return int(self.one(f"FROM ducklake_current_snapshot({literal(LAKE)})"))


@contextmanager
def attached(conn_id: str, aws_conn_id: str | None) -> Iterator[Lake]:
    """Give a DuckLake.

    :param conn_id: an Airflow connection to PostgreSQL, or of type `duckdb` with the path of a file as its host
    :param aws_conn_id: the Airflow connection for a lake in `s3://`
    :raises TargetError: if there is no lake, or nothing could be published to it
    :raises AirflowException: if it may pass
    """
    _check_version()
    with (
        tempfile.TemporaryDirectory(prefix="mapping-kit-") as scratch,
        connected("1GiB", 1, Path(scratch)) as connection,
        errors_named(f"The DuckLake of the Airflow connection {conn_id!r} can't be attached"),
    ):
        given: Any = BaseHook.get_connection(conn_id)
        _load(connection, "ducklake")
        lake = Lake(connection, given.extra_dejson.get("metadata_schema"))
        _attach(connection, conn_id, given)
        if _data_path(lake).startswith("s3://"):
            let_duckdb_read_s3(connection, s3_hook(aws_conn_id or None))
        yield lake


@contextmanager
def errors_named(what: str) -> Iterator[None]:
    """Turn DuckDB's errors into ones that say what was done.

    :param what: what can't be: `"The DuckLake of the Airflow connection 'lake' can't be attached"`
    :raises TargetError: where the same would fail again
    :raises AirflowException: where it may pass
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        said = str(error).partition("\n\nLINE 1: ")[0]
        if any(refusal in said for refusal in _REFUSED):
            remedy = "check the connection's host, schema (the database), login, password and metadata_schema"
            if "version mismatch" in said:
                remedy = "migrate the lake, or install the DuckDB that it is of, on all that use it at once"
            raise TargetError(f"{what}: {said}. Do this: {remedy}") from None
        raise AirflowException(f"{what}: {said}") from None


def _check_version() -> None:
    import duckdb

    if tuple(int(part) for part in re.findall(r"\d+", duckdb.__version__)[:3]) < _OLDEST:
        raise MappingKitError(
            f"Publishing to a DuckLake needs DuckDB {'.'.join(map(str, _OLDEST))} or newer, and here is "
            f"{duckdb.__version__}, which fails when files are added, or when others commit in between. "
            f"pip install -U 'airflow-mapping-kit[ducklake]' where this task runs"
        )


def _load(connection: DuckDBPyConnection, extension: str) -> None:
    import duckdb

    try:
        # Finds an installed extension, and downloads it only where there is none.
        connection.execute(f"INSTALL {extension}")
        connection.execute(f"LOAD {extension}")
    except duckdb.Error as error:
        raise AirflowException(
            f"DuckDB's extension {extension} can't be loaded: install it in the worker's image, "
            f"python -c \"import duckdb; duckdb.sql('INSTALL {extension}')\": {error}"
        ) from error


def _attach(connection: DuckDBPyConnection, conn_id: str, given: Any) -> None:
    if given.conn_type in ("postgres", "postgresql"):
        _load(connection, "postgres_scanner")
        fields = {
            "HOST": given.host,
            "PORT": given.port,
            "DATABASE": given.schema,
            "USER": given.login,
            "PASSWORD": given.password,
        }
        listed = ", ".join(f"{name} {literal(str(value))}" for name, value in fields.items() if value)
        connection.execute(f"CREATE SECRET {_SECRET} (TYPE postgres{', ' if listed else ''}{listed})")
        extra = given.extra_dejson
        words = " ".join(f"{name}={_libpq(str(extra[name]))}" for name in _LIBPQ if extra.get(name))
        place, options = f"postgres:{words}", [f"META_SECRET {literal(_SECRET)}"]
    elif given.conn_type == "duckdb" and given.host:
        place, options = str(Path(given.host).absolute()), []
        if not Path(place).is_file():
            raise TargetError(f"The Airflow connection {conn_id!r} names the file {place}, which isn't there")
    else:
        raise TargetError(
            f"The Airflow connection {conn_id!r} is of type {given.conn_type!r}, and the kit knows catalogs of "
            f"DuckLakes in PostgreSQL ('postgres') and in a file of DuckDB ('duckdb', its path as the host)"
        )
    options += [f"METADATA_CATALOG {literal(_CATALOG)}", "CREATE_IF_NOT_EXISTS false"]
    if given.extra_dejson.get("metadata_schema"):
        options.append(f"METADATA_SCHEMA {literal(given.extra_dejson['metadata_schema'])}")
    connection.execute(f"ATTACH {literal(f'ducklake:{place}')} AS {LAKE} ({', '.join(options)})")
    # Each commit of others since our transaction began is to stop it: DuckLake itself lets rows that were inserted
    # into a partition meanwhile stay beside ours, if our DELETE found none.
    connection.execute("SET ducklake_max_retry_count = 0")
    # Small deletes go to the catalog else, and the files that they emptied would stay.
    connection.execute("SET ducklake_default_data_inlining_row_limit = 0")


def _libpq(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _data_path(lake: Lake) -> str:
    settings = dict(lake.rows(f"SELECT key, value FROM {lake.catalog('metadata')} WHERE scope IS NULL"))  # noqa: S608
    path = str(settings["data_path"])
    if settings.get("encrypted") == "true":
        raise TargetError(
            "The DuckLake is encrypted, and files that instances stage are not: it can't be published to"
        )
    if not path.startswith(("/", "s3://")):
        raise TargetError(
            f"The DuckLake's files are in {path!r}: the kit stages on disks all workers see, by an absolute path, and "
            f"in s3://. ATTACH it with such a DATA_PATH when it is made"
        )
    return path


def data_path(lake: Lake) -> str:
    """Return where a lake's files are, without a slash at its end."""
    return _data_path(lake).rstrip("/")


def as_list(texts: Sequence[str]) -> str:
    """Return texts as a list of SQL: `["a"]` gives `['a']`."""
    return f"[{', '.join(map(literal, texts))}]"
