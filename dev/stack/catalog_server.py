"""An Iceberg REST catalog for tests and the demo: pyiceberg's SQL catalog over HTTP. It runs as a program.

It has what readers and writers of tables ask for: a login, namespaces, tables, and commits, which it checks as the
protocol says. Views, pages of lists, and commits of more than one table it refuses.

The ``CATALOG_`` variables of its environment say where it listens, where tables go and who may log in.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import ValidationError
from pyiceberg import exceptions
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

    Answer = tuple[int, Any]

# Between the parts of a namespace in a path.
SEPARATOR = "\x1f"
# The first that fits an error says how it is answered.
STATUS = (
    (exceptions.CommitFailedException, HTTPStatus.CONFLICT),
    (exceptions.TableAlreadyExistsError, HTTPStatus.CONFLICT),
    (exceptions.NamespaceAlreadyExistsError, HTTPStatus.CONFLICT),
    (exceptions.NamespaceNotEmptyError, HTTPStatus.CONFLICT),
    (exceptions.NoSuchTableError, HTTPStatus.NOT_FOUND),
    (exceptions.NoSuchNamespaceError, HTTPStatus.NOT_FOUND),
    (exceptions.UnauthorizedError, HTTPStatus.UNAUTHORIZED),
    (NotImplementedError, HTTPStatus.NOT_IMPLEMENTED),
    (ValidationError, HTTPStatus.BAD_REQUEST),
    (exceptions.ValidationError, HTTPStatus.BAD_REQUEST),
    (ValueError, HTTPStatus.BAD_REQUEST),
)


class Protocol:
    """What the catalog answers, by method and path.

    :param catalog: where tables are kept.
    :param name: the name of the only warehouse.
    :param credential: ``client:secret``, which a login must give.
    :param storage: what a client needs to read and write files, given with each table that is on S3.
    """

    def __init__(self, catalog: SqlCatalog, name: str, credential: str, storage: dict[str, str]) -> None:
        self.catalog = catalog
        self.name = name
        self.credential = credential
        self.storage = storage
        self.token = secrets.token_hex(16)

    def answer(self, method: str, target: str, token: str | None, body: bytes) -> Answer:
        """Answer a request with a status and what is said, or raise one of the errors in ``STATUS``."""
        address = urlsplit(target)
        path = [unquote(part) for part in address.path.strip("/").split("/")][1:]
        if (method, path) == ("POST", ["oauth", "tokens"]):
            return self._log_in(parse_qs(body.decode()))
        if token != f"Bearer {self.token}":
            raise exceptions.UnauthorizedError(
                "Log in first: the token is missing, or isn't of this catalog."
            )
        request = json.loads(body or b"{}")
        match method, path:
            case "GET", ["config"]:
                answer = self._config(parse_qs(address.query))
            case "GET", ["namespaces"]:
                answer = 200, {"namespaces": self.catalog.list_namespaces()}
            case "POST", ["namespaces"]:
                self.catalog.create_namespace(tuple(request["namespace"]), request.get("properties") or {})
                answer = 200, request
            case _, ["namespaces", namespace]:
                answer = self._namespace(method, tuple(namespace.split(SEPARATOR)))
            case _, ["namespaces", namespace, "tables"]:
                answer = self._tables(method, tuple(namespace.split(SEPARATOR)), request)
            case _, ["namespaces", namespace, "tables", name]:
                answer = self._table(method, (*namespace.split(SEPARATOR), name), request)
            case "POST", ["transactions", "commit"]:
                answer = self._commit_all(request["table-changes"])
            case _:
                raise NotImplementedError(f"This catalog has no {method} {address.path}.")
        return answer

    def _log_in(self, form: dict[str, list[str]]) -> Answer:
        given = ":".join(form.get(name, [""])[0] for name in ("client_id", "client_secret"))
        if not secrets.compare_digest(given.encode(), self.credential.encode()):
            return 401, {"error": "invalid_client", "error_description": "Wrong client or secret."}
        return 200, {"access_token": self.token, "token_type": "bearer", "expires_in": 86_400}

    def _config(self, query: dict[str, list[str]]) -> Answer:
        asked = query.get("warehouse", [self.name])[0]
        if asked != self.name:
            raise exceptions.NoSuchNamespaceError(
                f"Warehouse {asked!r} does not exist; there is {self.name!r}."
            )
        return 200, {"defaults": {}, "overrides": {}}

    def _namespace(self, method: str, namespace: tuple[str, ...]) -> Answer:
        properties = self.catalog.load_namespace_properties(namespace)
        if method == "DELETE":
            self.catalog.drop_namespace(namespace)
            return 204, None
        return 200, {"namespace": namespace, "properties": properties}

    def _tables(self, method: str, namespace: tuple[str, ...], request: dict[str, Any]) -> Answer:
        if method == "GET":
            names = self.catalog.list_tables(namespace)
            return 200, {"identifiers": [{"namespace": name[:-1], "name": name[-1]} for name in names]}
        if request.get("stage-create"):
            raise NotImplementedError("This catalog makes tables at once, not with their first commit.")
        spec, order = request.get("partition-spec"), request.get("write-order")
        table = self.catalog.create_table(
            (*namespace, request["name"]),
            Schema.model_validate(request["schema"]),
            location=request.get("location"),
            partition_spec=PartitionSpec.model_validate(spec) if spec else UNPARTITIONED_PARTITION_SPEC,
            sort_order=SortOrder.model_validate(order) if order else UNSORTED_SORT_ORDER,
            properties=request.get("properties") or {},
        )
        return 200, self._described(table)

    def _table(self, method: str, name: tuple[str, ...], request: dict[str, Any]) -> Answer:
        if method == "DELETE":
            self.catalog.drop_table(name)
            return 204, None
        if method == "POST":
            metadata, location = self._commit(name, request)
            return 200, {"metadata-location": location, "metadata": _plain(metadata)}
        return 200, self._described(self.catalog.load_table(name))

    def _commit(self, name: tuple[str, ...], request: dict[str, Any]) -> tuple[TableMetadata, str]:
        wanted = CommitTableRequest.model_validate(
            {**request, "identifier": {"namespace": name[:-1], "name": name[-1]}}
        )
        done = self.catalog.commit_table(self.catalog.load_table(name), wanted.requirements, wanted.updates)
        return done.metadata, done.metadata_location

    def _commit_all(self, changes: list[dict[str, Any]]) -> Answer:
        if len(changes) > 1:
            raise NotImplementedError("This catalog commits to one table at a time.")
        for change in changes:
            name = change["identifier"]
            self._commit((*name["namespace"], name["name"]), change)
        return 204, None

    def _described(self, table: Table) -> dict[str, Any]:
        config = self.storage if table.location().startswith(("s3://", "s3a://")) else {}
        return {
            "metadata-location": table.metadata_location,
            "metadata": _plain(table.metadata),
            "config": config,
        }


def _plain(metadata: TableMetadata) -> Any:
    return json.loads(metadata.model_dump_json())


def _handler(answer: Callable[[str, str, str | None, bytes], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two packets, and a client that waits to acknowledge the first delays the second.
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Say nothing of requests that were answered."""

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            # As GET, without its body.
            method = "GET" if self.command == "HEAD" else self.command
            try:
                status, said = answer(method, self.path, self.headers.get("Authorization"), body)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
                status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
                if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                    traceback.print_exc()
                said = {"error": {"message": str(error), "type": type(error).__name__, "code": int(status)}}
            content = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_DELETE = respond  # noqa: N815 - as the base class calls them

    return Handler


class Server(ThreadingHTTPServer):
    """The server; many writers may knock at once."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until the process is ended."""
    settings = os.environ
    storage = json.loads(settings["CATALOG_STORAGE"])
    catalog = SqlCatalog(
        settings["CATALOG_NAME"],
        # In the folder that it was started in, whose name may have what an address can't. Commits wait for one
        # another; SQLite's own patience of five seconds may not last.
        uri="sqlite:///catalog.db?timeout=60",
        warehouse=settings["CATALOG_WAREHOUSE"],
        **storage,
    )
    protocol = Protocol(catalog, settings["CATALOG_NAME"], settings["CATALOG_CREDENTIAL"], storage)
    with Server(("127.0.0.1", int(settings["CATALOG_PORT"])), _handler(protocol.answer)) as server:
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
