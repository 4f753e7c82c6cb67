"""The Iceberg catalog of an Airflow connection, and what it refuses, said in one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyiceberg import exceptions
from pyiceberg.catalog import load_catalog
from requests import RequestException

from airflow_mapping_kit.compat import AirflowException, AirflowNotFoundException, BaseHook
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.tables.described import near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

_PASSING = (
    exceptions.AuthorizationExpiredError,
    exceptions.CommitStateUnknownException,
    exceptions.ServerError,
    exceptions.ServiceUnavailableError,
    exceptions.TooManyRequestsError,
)
# What AWS calls credentials that it doesn't take, of Glue and of S3 alike.
_REFUSED = (
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
)


def catalog_of(conn_id: str) -> Catalog:
    """Return the catalog of an Airflow connection, read as version 2 of Airflow's Iceberg provider reads it.

    The host is the URL of a REST catalog, login and password are its OAuth client, and the extra holds pyiceberg's
    properties: `warehouse`, `s3.endpoint`; `{"type": "glue", "glue.region": "eu-central-1"}` is a catalog in Glue.

    :raises TargetError: if there is no such connection, or no catalog can be made of it

    Example: `catalog_of("lake").load_table("lake.flights")`.
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise TargetError(
            f"there is no Airflow connection {conn_id!r} (iceberg_conn_id): make one of the type Iceberg, its host "
            f"the URL of the catalog"
        ) from error
    properties: dict[str, Any] = {
        "type": "rest",
        **{name: _text(value) for name, value in connection.extra_dejson.items()},
    }
    if connection.host:
        properties["uri"] = connection.host.rstrip("/")
    if properties["type"] == "rest":
        uri = properties.get("uri", "")
        if not uri.startswith(("http://", "https://")):
            raise TargetError(
                f"the Airflow connection {conn_id!r} has {uri!r} as its host: write the URL of the Iceberg REST "
                f"catalog, such as https://catalog.example.com, or the type of another catalog in its extra: "
                f'{{"type": "glue"}}'
            )
        if connection.login:
            properties["credential"] = f"{connection.login}:{connection.password}"
            # The address that pyiceberg takes anyhow; it warns where it isn't told.
            properties.setdefault("oauth2-server-uri", f"{uri}/v1/oauth/tokens")
    try:
        return load_catalog(conn_id, **properties)
    except (ImportError, exceptions.NotInstalledError) as error:
        raise TargetError(
            f"the Airflow connection {conn_id!r} names a catalog of the type {properties['type']!r}, and something "
            f"that it needs isn't installed here: {one_line(error)}. REST and Glue work everywhere; SQL catalogs need "
            f"SQLAlchemy 2, which Airflow 2 doesn't have"
        ) from error
    except ValueError as error:
        # pydantic's, of an answer that is no catalog's, is one.
        raise TargetError(
            f"no Iceberg catalog can be made of the Airflow connection {conn_id!r}: {one_line(error)}: check its host, "
            f"which has to be the URL before /v1, and its extra"
        ) from error


def table_of(catalog: Catalog, name: str) -> Table:
    """Load a table.

    :param name: `namespace.table`
    :raises TargetError: if there is none such, with those whose names are near

    Example: `table_of(catalog_of("lake"), "lake.flights")`.
    """
    space, _, last = name.rpartition(".")
    if not space or not last:
        raise TargetError(f"{name!r} is no name of an Iceberg table: write namespace.table")
    try:
        return catalog.load_table(name)
    except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError) as error:
        spaces = _listed(lambda: [".".join(one) for one in catalog.list_namespaces()])
        if spaces and space not in spaces and "." not in space:
            raise TargetError(
                f"the catalog {catalog.name!r} has no namespace {space!r}{near(space, spaces)}: it has "
                f"{', '.join(spaces)}"
            ) from error
        tables = _listed(lambda: [one[-1] for one in catalog.list_tables(space)])
        raise TargetError(
            f"the catalog {catalog.name!r} has no table {name!r}{near(last, tables)}: the kit makes no tables"
            + (f". The namespace {space!r} has {', '.join(sorted(tables))}" if tables else "")
        ) from error


@contextmanager
def asking(conn_id: str, what: str) -> Iterator[None]:
    """Turn what a catalog and its storage refuse into an error that a data engineer can act on.

    :param what: what was asked for: `"look up lake.flights"`
    :raises TargetError: where the same would be refused again, with what to do
    :raises AirflowException: where it may pass
    """
    try:
        yield
    except (TargetError, AirflowException):
        raise
    except (exceptions.OAuthError, exceptions.UnauthorizedError, exceptions.ForbiddenError) as error:
        raise TargetError(
            f"can't {what}: the catalog refuses the credentials of the Airflow connection {conn_id!r}: "
            f"{one_line(error)}: check its login and password, and what they may do"
        ) from error
    except (*_PASSING, RequestException) as error:
        raise AirflowException(
            f"can't {what}: the catalog of the Airflow connection {conn_id!r} says {one_line(error)}"
        ) from error
    except (exceptions.RESTError, exceptions.NoSuchNamespaceError, exceptions.NoSuchTableError) as error:
        raise TargetError(
            f"can't {what}: the catalog of the Airflow connection {conn_id!r} says {one_line(error)}: check the "
            f"connection's host and its warehouse"
        ) from error
    except Exception as error:
        # pyarrow and botocore know more kinds than can be named without importing both.
        said = one_line(error)
        if isinstance(error, PermissionError) or any(
            word.lower() in said.replace("_", "").lower() for word in _REFUSED
        ):
            raise TargetError(
                f"can't {what}: the storage or the catalog refuses the credentials: {said}: check s3.access-key-id "
                f"and such in the extra of the Airflow connection {conn_id!r}, or the role of the worker"
            ) from error
        raise


def _listed(names: Callable[[], list[str]]) -> list[str]:
    """Return names to tell, none where one may load a table and not list them."""
    try:
        return names()
    except Exception:  # noqa: BLE001 -- each catalog refuses in its own way
        return []


def _text(value: Any) -> Any:
    """Return a value of JSON as pyiceberg's properties have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
