"""A Snowflake for tests and the demo: fakesnow over TLS, in an environment of its own. It runs as a program.

fakesnow speaks Snowflake's protocol over DuckDB and reads ``s3://`` stages. What it leaves out, and a loader
depends on, is added here:

* TLS, with a certificate made at the start, and a password that is checked, or a token signed by the user's key;
* SQL that it can't run is an error of Snowflake's kind: HTTP 500 makes the connector repeat it for minutes;
* options such as ``FORCE`` and ``ENFORCE_LENGTH`` may be written out where they have their default;
* an empty file is neither loaded nor named in the answer;
* a query that is refused has a number, too, and the account a name;
* columns by position, ``$1`` of a CSV, and a file's name and rows' numbers, ``METADATA$FILENAME``;
* sessions have numbers, and ``SYSTEM$CANCEL_ALL_QUERIES`` ends what runs in one;
* a file whose content changed under a loaded name is loaded again, beside its old rows, as Snowflake does;
* a file's name is its name, with ``*``, ``?`` or a backslash in it too;
* a CSV is read as the table's columns: nothing is guessed, and a line that doesn't fit is told by its number.

The ``FAKESNOW_`` variables of its environment say where it listens, where S3 is and who may log in.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import hashlib
import ipaddress
import json
import os
import re
import uuid
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import fakesnow.copy_into
import fakesnow.cursor
import fakesnow.info_schema
import fakesnow.server
import jwt
import sqlglot
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from duckdb_extensions import import_extension
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

DEFAULTS = {
    **dict.fromkeys(
        ("FORCE", "PURGE", "LOAD_UNCERTAIN_FILES", "TRUNCATECOLUMNS", "RETURN_FAILED_ONLY"), "FALSE"
    ),
    "ENFORCE_LENGTH": "TRUE",
    "LOAD_MODE": "FULL_INGEST",
}
# DuckDB's text has no length, so nothing is too long.
OF_LENGTHS = {"TRUNCATECOLUMNS", "ENFORCE_LENGTH"}
NOTHING = hashlib.sha256(b"").hexdigest()
# What the account is called; fakesnow's has no name.
ACCOUNT = {"CURRENT_ORGANIZATION_NAME()": "'MAPPINGKIT'", "CURRENT_ACCOUNT_NAME()": "'LOCAL_TESTS'"}
CANCEL = re.compile(r"SELECT SYSTEM\$CANCEL_ALL_QUERIES\((\d+)\)")
# How DuckDB says that a file isn't there.
MISSING = (b"404", b"No files found")
DIGESTS = "_fs_information_schema._fs_file_digests"
HISTORY = "_fs_information_schema._fs_load_history"

# The types of the table that is being loaded, for what reads its files; none where a query does.
columns: ContextVar[list[str] | None] = ContextVar("columns")
# The columns that get something of the file.
metadata: ContextVar[dict[str, str]] = ContextVar("metadata")

copy_as_fakesnow_does = fakesnow.copy_into.copy_into
insert_as_fakesnow_does = fakesnow.copy_into._inserts  # noqa: SLF001 - fakesnow offers no other way
read_csv_as_fakesnow_does = fakesnow.copy_into.ReadCSV.read_expression
database_as_fakesnow_makes_it = fakesnow.info_schema.per_db_creation_sql


# -- COPY INTO


def copy_into(
    connection: duckdb.DuckDBPyConnection,
    database: str | None,
    schema: str | None,
    statement: exp.Copy,
    *others: Any,
) -> str:
    """Load as fakesnow does, but load a changed file again, and say which line of a file is broken."""
    statement.set("params", [option for option in statement.args["params"] if not _is_default(option)])
    table = statement.this.find(exp.Table)
    assert table is not None  # noqa: S101 - the parser has seen COPY INTO a table
    target = (table.db or schema, table.name)
    files = _urls(connection, database, schema, statement, table, others[0])
    metadata.set(_taken_metadata(statement))
    listed = [column.name for column in statement.this.expressions]
    # A query says itself what it takes from the file.
    queried = statement.find(exp.Subquery)
    columns.set(None if queried else _types(connection, table, database, schema, listed))
    try:
        digests = {file: digest for file in files if (digest := _digest(connection, file)) is not None}
        empty = {file for file, digest in digests.items() if digest == NOTHING}
        if empty and not _leave_out(statement, [file in empty for file in files]):
            answer = "SELECT 'Copy executed with 0 files processed.' AS status"
            connection.execute(answer)
            return answer
        for file, digest in digests.items():
            _forget_if_changed(connection, target, file, digest)
        answer = copy_as_fakesnow_does(connection, database, schema, statement, *others)
    except duckdb.InvalidInputException as error:
        raise ProgrammingError(msg=str(error), errno=100080, sqlstate="22000") from error
    except duckdb.InterruptException as error:
        raise ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014") from error
    except duckdb.IOException as error:
        raise ProgrammingError(msg=str(error), errno=91016, sqlstate="22000") from error
    for file, digest in digests.items():
        connection.execute(f"INSERT INTO {DIGESTS} VALUES (?, ?, ?, ?)", [*target, file, digest])  # noqa: S608
    # fakesnow sends what ran last.
    connection.execute(answer)
    return answer


def _types(
    connection: duckdb.DuckDBPyConnection,
    table: exp.Table,
    database: str | None,
    schema: str | None,
    listed: list[str],
) -> list[str]:
    name = exp.table_(table.name, table.db or schema, table.catalog or database, quoted=True)
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {name.sql('duckdb')}").fetchall()}
    if unknown := [column for column in listed if column not in types]:
        raise ProgrammingError(msg=f"invalid identifier {unknown[0]!r}", errno=904, sqlstate="42000")
    return [types[column] for column in listed or types]


def _taken_metadata(statement: exp.Copy) -> dict[str, str]:
    """Take the option INCLUDE_METADATA out of a statement, and return which column gets what."""
    options = {option.this.name.upper(): option for option in statement.args["params"]}
    option = options.pop("INCLUDE_METADATA", None)
    statement.set("params", list(options.values()))
    return {} if option is None else {pair.left.name: pair.right.name for pair in option.find_all(exp.EQ)}


def inserts(statement: exp.Copy, params: Any, urls: list[str], parquet_info: Any = None) -> list[exp.Expr]:
    """Make fakesnow's statements, and say in each what DuckDB doesn't know: the file, and its columns by position."""
    for place in list(statement.args["files"][0].find_all(exp.Parameter)):
        # t.$1 is $1: there is one file at a time.
        position = place.parent if isinstance(place.parent, exp.Column) else place
        column = exp.column(f"column{int(place.name) - 1}")
        of_json = isinstance(position.parent, exp.JSONExtract | exp.JSONExtractScalar)
        position.replace(place.copy() if of_json else column)
    made = insert_as_fakesnow_does(statement, params, urls, parquet_info)
    return [_of_file(insert.copy(), url) for insert, url in zip(made, urls, strict=True)]


def _of_file(insert: exp.Expr, url: str) -> exp.Expr:
    for alias in insert.find_all(exp.Alias):
        if alias.alias in metadata.get():
            alias.set("this", exp.column(metadata.get()[alias.alias]))
    known = {
        "METADATA$FILENAME": exp.Literal.string(url.split("/", 3)[3]),
        "METADATA$FILE_ROW_NUMBER": sqlglot.parse_one("row_number() OVER ()"),
    }
    for column in list(insert.find_all(exp.Column)):
        if column.name.upper() in known:
            column.replace(known[column.name.upper()].copy())
    return insert


def _urls(
    connection: duckdb.DuckDBPyConnection,
    database: str | None,
    schema: str | None,
    statement: exp.Copy,
    table: exp.Table,
    table_stages: Any,
) -> list[str]:
    """Return where the files are that the statement names."""
    place = fakesnow.copy_into
    source = place._from_source(statement)  # noqa: SLF001 - fakesnow offers no other way
    names = [
        name.name
        for option in statement.args["params"]
        if option.this.name.upper() == "FILES"
        for name in option.find_all(exp.Literal)
    ]
    if not names or not source.startswith("@"):
        return []
    stage = place.stage_url_from_var(source[1:], connection, database, schema, table_stages, table)
    return place._source_urls(stage, names)  # noqa: SLF001 - as above


def _leave_out(statement: exp.Copy, unwanted: list[bool]) -> bool:
    """Take files out of the statement; tell whether there are others."""
    (option,) = (option for option in statement.args["params"] if option.this.name.upper() == "FILES")
    names = zip(list(option.find_all(exp.Literal)), unwanted, strict=True)
    wanted = [name for name, left_out in names if not left_out]
    option.set("expression", exp.Tuple(expressions=wanted))
    return bool(wanted)


def _is_default(option: exp.CopyParameter) -> bool:
    value = option.expression
    if option.this.name.upper() in OF_LENGTHS:
        return True
    return value is not None and DEFAULTS.get(option.this.name.upper()) == value.sql().upper()


def _digest(connection: duckdb.DuckDBPyConnection, file: str) -> str | None:
    try:
        # On a connection of its own: an error here is for COPY to report, and would end the transaction.
        with connection.cursor() as apart:
            row = apart.execute("SELECT sha256(content) FROM read_blob(?)", [_pattern(file)]).fetchone()
    except duckdb.Error:
        return None
    return row[0] if row else None


def _forget_if_changed(
    connection: duckdb.DuckDBPyConnection, target: tuple[str | None, str], file: str, digest: str
) -> None:
    row = connection.execute(
        f"SELECT digest FROM {DIGESTS} WHERE (schema_name, table_name, file_name) = (?, ?, ?) "  # noqa: S608
        "ORDER BY rowid DESC LIMIT 1",
        [*target, file],
    ).fetchone()
    if row and row[0] != digest:
        connection.execute(
            f"DELETE FROM {HISTORY} WHERE (schema_name, table_name, file_name) = (?, ?, ?)",  # noqa: S608
            [*target, file],
        )


def read_csv(self: fakesnow.copy_into.ReadCSV, url: str) -> exp.Expression:
    """Read a CSV as the columns of the table; DuckDB guesses where it isn't told."""
    function = read_csv_as_fakesnow_does(self, url)
    types = columns.get()
    if types is None:
        # Of text an expression makes what it wants.
        function.append("expressions", sqlglot.parse_one("all_varchar = TRUE", read="duckdb"))
    else:
        if self.sep == ",":
            function.append("expressions", self.make_eq("sep", self.sep))
        wanted = ", ".join(f"'column{number}': '{name}'" for number, name in enumerate(types))
        for option in (f"columns = {{{wanted}}}", "auto_detect = FALSE"):
            function.append("expressions", sqlglot.parse_one(option, read="duckdb"))
    return function


def _pattern(url: str) -> str:
    """Return the glob that matches only this."""
    return re.sub(r"[*?\[\\]", lambda special: "\\" + special[0], url)


def per_db_creation_sql(catalog: str) -> str:
    """Return what makes a database, with the table of digests."""
    kept = "schema_name VARCHAR, table_name VARCHAR, file_name VARCHAR, digest VARCHAR"
    digests = f"CREATE TABLE IF NOT EXISTS {catalog}.{DIGESTS} ({kept})"
    return f"{database_as_fakesnow_makes_it(catalog)}; {digests}"


# -- Answers


class Answers:
    """The application, with refusals of Snowflake's kind.

    :param application: fakesnow.
    :param password: whoever logs in with another is refused.
    :param public_key: where the user's public key is, once there is one.
    """

    def __init__(self, application: Application, password: str, public_key: Path) -> None:
        self.application = application
        self.password = password
        self.public_key = public_key
        # The tokens of sessions, by number, and which of them a statement runs in.
        self.tokens: list[str] = []
        self.running: set[str] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if path == "/session/v1/login-request":
            body, receive = await _read(scope, receive)
            if body["data"].get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
                if why := _unsigned(body["data"], self.public_key):
                    await _send(send, _error("390144", "08001", f"JWT token is invalid. [{why}]"))
                    return
            elif body["data"].get("PASSWORD") != self.password:
                await _send(send, _error("390100", "08001", "Incorrect username or password was specified."))
                return
            send = _Numbered(send, self.tokens)
        elif path == "/queries/v1/query-request":
            await self._run(scope, receive, _Translated(send))
            return
        await self.application(scope, receive, send)

    async def _run(self, scope: Message, receive: Receive, send: Send) -> None:
        body, receive = await _read(scope, receive)
        asked = body["sqlText"]
        if cancel := CANCEL.fullmatch(asked):
            await self._cancel(self.tokens[int(cancel[1])])
            body["sqlText"] = "SELECT 'query terminated.'"
        for function, name in ACCOUNT.items():
            body["sqlText"] = body["sqlText"].replace(function, name)
        if body["sqlText"] != asked:
            receive = _again(json.dumps(body).encode())
            scope["headers"] = [
                header
                for header in scope["headers"]
                if header[0] not in {b"content-encoding", b"content-length"}
            ]
        token = dict(scope["headers"]).get(b"authorization", b"").decode()[17:-1]
        self.running.add(token)
        try:
            await self.application(scope, receive, send)
        finally:
            self.running.discard(token)

    async def _cancel(self, token: str) -> None:
        # The statement may not have come to DuckDB yet.
        while token in self.running:
            fakesnow.server.sessions[token]._duck_conn.interrupt()  # noqa: SLF001 - fakesnow offers no other way
            await asyncio.sleep(0.05)


class _Numbered:
    """Passes an answer to a login on, with the session's number, which fakesnow doesn't give."""

    def __init__(self, send: Send, tokens: list[str]) -> None:
        self.send = send
        self.tokens = tokens

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            return
        answer = json.loads(message["body"])
        if answer["success"]:
            answer["data"]["sessionId"] = len(self.tokens)
            self.tokens.append(answer["data"]["token"])
        await _send(self.send, json.dumps(answer).encode())


class _Translated:
    """Passes an answer on; HTTP 500 and trouble between the server and S3 as what Snowflake would say."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        body = message.get("body", b"")
        if self.start["status"] >= 500:  # noqa: PLR2004 - the server's own fault
            await _send(self.send, _error("000002", "0A000", f"Unsupported in fakesnow: {_text(body)}"))
            return
        if b'"code":"091016"' in body and not any(words in body for words in MISSING):
            # S3 refuses, or can't be reached right now.
            await _send(self.send, _error("000603", "58030", _text(body)))
            return
        if b'"success":false' in body:
            answer = json.loads(body)
            answer["data"] = {**(answer["data"] or {}), "queryId": str(uuid.uuid4())}
            await _send(self.send, json.dumps(answer).encode())
            return
        await self.send(self.start)
        await self.send(message)


def _unsigned(login: dict[str, Any], public_key: Path) -> str:
    """Return what is wrong with a token that ought to be signed by the user's key; nothing if it is right."""
    if not public_key.exists():
        return "the user has no key"
    key = serialization.load_pem_public_key(public_key.read_bytes())
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(key.public_bytes(*form)).digest()).decode()
    name = f"{login['ACCOUNT_NAME']}.{login['LOGIN_NAME']}".upper()
    try:
        claims = jwt.decode(login["TOKEN"], key, algorithms=["RS256"], options={"require": ["iat", "exp"]})
    except jwt.InvalidTokenError as error:
        return str(error)
    return "" if claims["iss"] == f"{name}.SHA256:{digest}" and claims["sub"] == name else str(claims)


def _text(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError):
        return body.decode(errors="replace")[:500]


def _error(code: str, state: str, message: str) -> bytes:
    data = {"errorCode": code, "sqlState": state}
    return json.dumps({"data": data, "code": code, "message": message, "success": False}).encode()


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(scope: Message, receive: Receive) -> tuple[Any, Receive]:
    """Return the body of a request, and what gives it to the application once more."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    packed = (b"content-encoding", b"gzip") in scope["headers"]

    return json.loads(gzip.decompress(body) if packed else body), _again(body)


def _again(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


# -- Start


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine's loopback and its key; return where they are."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


def reach_s3(connection: duckdb.DuckDBPyConnection, endpoint_url: str, key: str, secret: str) -> None:
    """Let every session read ``s3://`` stages from one S3 server."""
    import_extension("httpfs")
    connection.load_extension("httpfs")
    scheme, _, endpoint = endpoint_url.partition("://")
    options = {"KEY_ID": key, "SECRET": secret, "ENDPOINT": endpoint, "URL_STYLE": "path"}
    written = ", ".join(name + " '" + value.replace("'", "''") + "'" for name, value in options.items())
    connection.execute(f"CREATE SECRET stages (TYPE s3, {written}, USE_SSL {scheme == 'https'})")
    # A file that is rewritten within a second must be read anew.
    connection.execute("SET GLOBAL enable_external_file_cache = false")


def main() -> None:
    """Serve until the process is ended."""
    fakesnow.cursor.copy_into = copy_into
    fakesnow.copy_into._inserts = inserts  # noqa: SLF001 - as above
    fakesnow.copy_into.ReadCSV.read_expression = read_csv
    fakesnow.copy_into.FileTypeHandler.file_literal = staticmethod(
        lambda url: exp.Literal.string(_pattern(url))
    )
    fakesnow.info_schema.per_db_creation_sql = per_db_creation_sql
    certificate, key = make_certificate(Path(os.environ["FAKESNOW_FOLDER"]))
    reach_s3(
        fakesnow.server.shared_fs.duck_conn,
        os.environ["FAKESNOW_S3_ENDPOINT_URL"],
        os.environ["FAKESNOW_S3_KEY"],
        os.environ["FAKESNOW_S3_SECRET"],
    )
    uvicorn.run(
        Answers(
            fakesnow.server.app,
            os.environ["FAKESNOW_PASSWORD"],
            Path(os.environ["FAKESNOW_FOLDER"], "public_key.pem"),
        ),
        host="127.0.0.1",
        port=int(os.environ["FAKESNOW_PORT"]),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
